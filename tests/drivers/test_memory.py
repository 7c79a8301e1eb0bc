"""Whether a run was ended for lack of memory: in real groups that have little of it."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests import memory as groups
from tests.drivers.conftest import PYTHON, Agent, Home, order, script

from reeve.core.crashes import CrashReason
from reeve.drivers.base import cause, crash_reason
from reeve.drivers.process import memory

LITTLE = 48 << 20
EATING = "x = []\nwhile True: x.append(bytearray(b'x' * (1 << 20)))"


@pytest.fixture
def little() -> Iterator[Path]:
    """A group with little memory, of which the test must leave nothing alive."""
    try:
        with groups.little(LITTLE) as group:
            yield group
    except groups.Unavailable as why:
        pytest.skip(f"no group with little memory can be made: {why}")


async def shim_in(group: Path, home: Home, agent: Agent) -> None:
    """Have a shim whose runs begin in a group."""
    await agent.run(script("true"))
    groups.join(group, home.shim())


def eat_in(group: Path) -> None:
    """Have a process that is nobody's run ended for lack of memory."""
    command = [*PYTHON, f"open({str(group / 'cgroup.procs')!r}, 'w').write('0')\n{EATING}"]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    assert groups.kills(group) == 1


async def test_a_run_that_is_out_of_memory_says_so(little: Path, home: Home, agent: Agent) -> None:
    await shim_in(little, home, agent)
    record = await agent.run(order(*PYTHON, EATING))
    assert (record.signal, record.oom_kills) == (signal.SIGKILL, 1)
    assert cause(record).startswith("killed out of memory at ")
    assert crash_reason(record) is CrashReason.OUT_OF_MEMORY
    assert groups.kills(little) == 1
    await agent.close()
    await home.emptied()  # the group is to be taken away


async def test_the_end_of_another_is_not_blamed_on_a_run(little: Path, agent: Agent) -> None:
    handle = await agent.driver.launch(script("exec sleep 1000"))
    eat_in(little)
    os.kill(handle.details["pid"], signal.SIGKILL)
    record = await agent.exit(handle)
    assert record.oom_kills == 0
    assert cause(record).startswith("killed by SIGKILL (kill -9;")
    assert crash_reason(record) is CrashReason.SIGNAL


def test_a_process_that_changes_its_group_is_looked_at_there(little: Path) -> None:
    with subprocess.Popen([*PYTHON, f"input()\n{EATING}"], stdin=subprocess.PIPE) as process:
        witness = memory.Witness(memory.mounts())
        witness.look(process.pid)
        groups.join(little, process.pid)
        witness.look(process.pid)
        assert witness.kills() == 0
        process.communicate(b"\n")
        witness.look(process.pid)  # it is gone: there is nothing to be seen
        assert witness.kills() == 1


def test_the_count_of_the_machine_accuses_nobody(little: Path) -> None:
    witness = memory.Witness({})
    witness.look(os.getpid())
    assert witness.kills() == 0
    eat_in(little)
    assert witness.kills() is None


def test_what_was_counted_long_ago_accuses_nobody_and_acquits_nobody(tmp_path: Path) -> None:
    counted = tmp_path / "memory.events.local"
    counted.write_text("low 0\noom 3\noom_kill 7\n")
    (name,) = memory.mounts().keys() & {"memory"} or {""}
    group = Path("/proc/self/cgroup").read_text()
    path = next(line.split(":")[2] for line in group.splitlines() if line.split(":")[1] == name)
    witness = memory.Witness({name: memory.Mount(path, str(tmp_path), counted.name)})
    witness.look(os.getpid())
    assert witness.kills() == 0
    counted.write_text("oom_kill 8\n")
    assert witness.kills() == 1
    for _ in range(2):
        witness.look(os.getpid())
    assert witness.kills() is None
    counted.unlink()
    assert witness.kills() is None


@pytest.mark.parametrize(
    ("root", "group", "files"),
    [
        ("/", "/a/b", ["/m/a/b/f", "/m/a/f", "/m/f"]),
        ("/", "/", ["/m/f"]),
        ("/docker/1", "/docker/1/b", ["/m/b/f", "/m/f"]),
        ("/docker/1", "/docker/12", []),
        ("/", "/../other", []),
    ],
)
def test_the_nearest_group_that_counts_is_looked_for(root: str, group: str, files: list[str]) -> None:
    assert list(memory.Mount(root, "/m", "f").files(group)) == files
