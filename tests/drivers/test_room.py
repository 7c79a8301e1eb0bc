"""How runs keep to the room that is left for the output of all."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from tests.drivers.conftest import Agent, Home, order, script, until

from reeve.drivers.base import Handle, Launch
from reeve.drivers.process import spool

LIMIT = 300_000  # bytes
PRINTED = 500_000
LINE = 100  # the longest of reeve's own
FULL = "bytes of output were lost here: the agent's spool is full"


def loud(gate: Path, *more: str) -> Launch:
    """Return an order to print a lot when a gate opens."""
    wait = f"while [ ! -e {gate} ]; do sleep 0.02; done"
    return script("; ".join([wait, f"head -c {PRINTED} /dev/zero", *more]))


def written(home: Home, *handles: Handle | Launch) -> int:
    """Return how long the output of runs is."""
    files = [home.spool(handle) / stream for handle in handles for stream in spool.STREAMS]
    return sum(file.stat().st_size for file in files if file.exists())


def room(home: Home, *handles: Handle | Launch) -> Callable[[], int]:
    """Return what tells how much may still be written, of a limit that is kept to the byte."""
    return lambda: LIMIT - written(home, *handles)


async def test_runs_share_the_room_that_is_left(home: Home, agent: Agent, tmp_path: Path) -> None:
    launches = [loud(tmp_path / "gate", "exit 5") for _ in range(2)]
    for launch in launches:
        await agent.driver.launch(launch)
    await agent.driver.bound_output(room(home, *launches))
    (tmp_path / "gate").touch()
    records = [await agent.exit(launch) for launch in launches]
    assert [record.code for record in records] == [5, 5]
    assert LIMIT <= written(home, *launches) <= LIMIT + 2 * LINE
    assert sum(record.output_bytes for record in records) == LIMIT
    for launch, record in zip(launches, records, strict=True):
        assert record.output_bytes + record.output_dropped_bytes == PRINTED
        assert (record.output_lost_bytes, record.output_cut_bytes) == (0, 0)
        end = (home.spool(launch) / "stdout").read_bytes()[record.output_bytes :].decode()
        assert end == f"\n[reeve] {record.output_dropped_bytes} {FULL}\n"


async def test_where_output_was_lost_is_told_when_there_is_room_again(
    home: Home, agent: Agent, tmp_path: Path
) -> None:
    lost, again = tmp_path / "lost", tmp_path / "again"
    wait = f"touch {lost}; while [ ! -e {again} ]; do sleep 0.02; done; echo last"
    launch = loud(tmp_path / "gate", wait)
    await agent.driver.launch(launch)
    await agent.driver.bound_output(lambda: 1000)
    (tmp_path / "gate").touch()
    await until(lost.exists)
    await until(lambda: written(home, launch) == 1000)
    # Not enough for the line that says it. To hear of it takes the shim two rounds: the pipe is empty then.
    await agent.driver.bound_output(lambda: 10)
    await agent.driver.bound_output(lambda: 1000)
    again.touch()
    record = await agent.exit(launch)
    told = f"\n[reeve] {PRINTED - 1000} {FULL}\nlast\n".encode()
    assert (home.spool(launch) / "stdout").read_bytes() == bytes(1000) + told
    assert (record.output_bytes, record.output_dropped_bytes) == (1000 + 5, PRINTED - 1000)


LOGGING = """
import logging, os, sys, time
from pathlib import Path
from reeve.sdk.shipping import RecordFile

handler = RecordFile(os.environ["REEVE_RECORDS"])
logger = logging.Logger("reeve.flow_runs")
logger.addHandler(handler)
gate, lost = map(Path, sys.argv[1:])
while not gate.exists():
    time.sleep(0.02)
while not handler._lost:
    logger.info("x" * 1000)
    time.sleep(0.01)
lost.touch()
while handler._lost:
    logger.info("after")
    time.sleep(0.02)
"""


async def test_what_a_run_logs_by_itself_keeps_to_it_too(home: Home, agent: Agent, tmp_path: Path) -> None:
    launch = order(sys.executable, "-c", LOGGING, str(tmp_path / "gate"), str(tmp_path / "lost"))
    await agent.driver.launch(launch)
    await agent.driver.bound_output(lambda: 100_000)
    (tmp_path / "gate").touch()
    await until((tmp_path / "lost").exists)
    records = home.spool(launch) / spool.RECORDS
    assert 0 < records.stat().st_size <= 100_000
    await agent.driver.bound_output(lambda: LIMIT)
    assert (await agent.exit(launch)).code == 0
    assert "log lines were lost here: the agent's spool was full." in records.read_text()


DYING_AGENT = f"""
import asyncio, sys
from pathlib import Path
from tests.drivers.test_room import loud
from reeve.drivers.process.driver import ProcessDriver

async def main():
    driver = ProcessDriver(Path(sys.argv[1]), idle_seconds=0.5)
    handle = await driver.launch(loud(Path(sys.argv[2])))
    await driver.bound_output(lambda: {LIMIT})
    print(handle.attempt, flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


async def test_the_bound_outlives_its_agent(home: Home, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    command = [sys.executable, "-c", DYING_AGENT, str(home.path), str(gate)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]) as process:
        assert process.stdout
        attempt = process.stdout.readline().decode().strip()
        process.kill()
    gate.touch()
    await until(lambda: spool.read_exit(str(home.path / "spool" / attempt)))
    (found,) = await home.agent().driver.recover()
    assert found.exit
    assert (found.exit.output_bytes, found.exit.output_dropped_bytes) == (LIMIT, PRINTED - LIMIT)


async def test_a_shim_that_is_started_later_has_its_share_only(
    home: Home, agent: Agent, tmp_path: Path
) -> None:
    launches = [loud(tmp_path / "gate") for _ in range(2)]
    await agent.driver.launch(launches[0])
    await agent.driver.bound_output(room(home, *launches))
    await agent.driver.retire()
    await agent.driver.launch(launches[1])
    (tmp_path / "gate").touch()
    records = await asyncio.gather(*(agent.exit(launch) for launch in launches))
    assert [record.output_bytes for record in records] == [LIMIT // 2, LIMIT // 2]
