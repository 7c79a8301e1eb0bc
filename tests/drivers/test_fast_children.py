"""A child that has ended before the shim looks at it for the first time is told of as any other."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from tests.drivers.conftest import Home, order, until

import reeve.drivers.process
from reeve.drivers.process import start

# A shim that always comes late: no pidfd is opened before its child has ended.
LATE = """
import os, sys
sys.path.append({source!r})
from reeve.drivers.process import daemon, spawn
watch = spawn._watch
def late(pid):
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    return watch(pid)
spawn._watch = late
daemon.main(sys.argv[1], 0.5)
"""


@pytest.mark.parametrize(("count", "late"), [(500, False), (50, True)])
async def test_each_exit_is_told_once_with_its_code(home: Home, count: int, *, late: bool) -> None:
    if late:
        directory = home.path / "shim" / start.environment_key()
        directory.mkdir(parents=True)
        source = Path(reeve.drivers.process.__path__[0]).parents[2]
        command = [sys.executable, "-I", "-S", "-c", LATE.format(source=str(source)), str(directory)]
        assert subprocess.run(command, check=True, capture_output=True).stdout == b"ready\n"
    agent = home.agent()
    launches = [order("/bin/true" if number % 3 else "/bin/false") for number in range(count)]
    handles = await asyncio.gather(*(agent.driver.launch(one) for one in launches))
    await until(lambda: len(agent.told) >= count)
    await agent.close()  # so that nothing more is told
    assert [one.attempt for one in handles] == [one.attempt for one in launches]
    told = Counter((one.attempt, one.code) for one in agent.told)
    assert told == Counter((one.attempt, 0 if number % 3 else 1) for number, one in enumerate(launches))
