"""What is freed of the spool, and what becomes of output that finds no room in it."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import re
import signal
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from uuid import uuid4

import pytest
from tests.agent.conftest import AgentProcess, Agents
from tests.agent.standin import WAIT_SECONDS, Attempt, Refused, StandIn
from tests.agent.test_link import REQUEST
from tests.drivers.test_shim import Line

from reeve.agent import spool
from reeve.agent.journal import Journal, claimed
from reeve.agent.link import OwnLink
from reeve.agent.output import Shipper
from reeve.agent.spool import KEPT_BYTES, Spool
from reeve.drivers.process import messages
from reeve.drivers.process.driver import ProcessDriver
from reeve.drivers.process.spool import read_exit
from reeve.wire import endpoints

MIB = 1024 * 1024
LIMIT = 4 * MIB
BLOCK = 4096
PART = bytes(range(256)) * 4096  # 1 MiB that is not zeros


def made(directory: Path, **streams: int) -> Path:
    """Make the files of an attempt; ``streams``: how long each is, in MiB."""
    directory.mkdir()
    for stream, length in streams.items():
        (directory / stream).write_bytes(PART * length)
    return directory


def taken(directory: Path) -> int:
    """Return the bytes of the disk that an attempt's files take."""
    return sum(file.stat().st_blocks * 512 for file in directory.iterdir())


@pytest.fixture
async def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Spool]:
    """A spool that is looked after all the time."""
    monkeypatch.setattr(spool, "EVERY_SECONDS", 0.01)
    kept = Spool(ProcessDriver(tmp_path / "agent"), LIMIT)
    task = asyncio.create_task(kept.run())
    yield kept
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(WAIT_SECONDS):
        while not condition():
            await asyncio.sleep(0.01)


async def test_what_the_server_has_is_freed_oldest_first(kept: Spool, tmp_path: Path) -> None:
    old, new = made(tmp_path / "old", stdout=2), made(tmp_path / "new", stdout=1)
    sent = {"stdout": 2 * MIB, "stderr": 0, "records": 0}
    kept.hold(uuid4(), old, sent)
    await until(lambda: kept.size == 2 * MIB)  # which is no reason to free any
    kept.hold(uuid4(), new, sent)
    await until(lambda: kept.size == MIB + KEPT_BYTES)
    assert (taken(old), taken(new)) == (KEPT_BYTES, MIB)
    assert (old / "stdout").read_bytes() == bytes(2 * MIB - KEPT_BYTES) + PART[-KEPT_BYTES:]


async def test_what_is_not_sent_is_kept_to_the_byte(kept: Spool, tmp_path: Path) -> None:
    directory = made(tmp_path / "run", stdout=3)
    attempt_id = uuid4()
    kept.hold(attempt_id, directory)
    await until(lambda: kept.size == 3 * MIB)
    sent = MIB + 5
    kept.sent(attempt_id, {"stdout": sent, "stderr": 0, "records": 0})
    await until(lambda: kept.size == 2 * MIB)
    assert (directory / "stdout").read_bytes()[MIB:] == PART * 2
    kept.settle(attempt_id)
    kept.hold(uuid4(), made(tmp_path / "next", stdout=1))
    await until(lambda: taken(directory) == KEPT_BYTES)


async def test_what_ended_and_is_discarded_takes_nothing(kept: Spool, tmp_path: Path) -> None:
    attempt_id = uuid4()
    kept.hold(attempt_id, made(tmp_path / "run", stdout=1))
    await until(lambda: kept.size == MIB)
    kept.settle(attempt_id)
    kept.forget(attempt_id)
    await until(lambda: kept.size == 0)


async def test_where_nothing_can_be_freed_that_is_said_once(
    kept: Spool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    sealed = os.memfd_create("sealed", os.MFD_ALLOW_SEALING)  # which may not be written, and so not punched
    os.write(sealed, PART * 4)
    fcntl.fcntl(sealed, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE)
    directory = tmp_path / "run"
    directory.mkdir()
    (directory / "stdout").symlink_to(f"/proc/{os.getpid()}/fd/{sealed}")
    kept.hold(uuid4(), directory, {"stdout": 4 * MIB, "stderr": 0, "records": 0})
    await until(lambda: "is not freed" in caplog.text)
    kept.hold(uuid4(), made(tmp_path / "next", stdout=1))
    await until(lambda: kept.size == 5 * MIB)
    assert caplog.text.count("is not freed") == 1
    os.close(sealed)


async def test_only_what_the_journal_knows_is_called_sent(
    server: StandIn, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    attempt = await server.submit("true")
    attempt.epoch = 1
    entry, noted = claimed(attempt.grant), list[Mapping[str, int]]()
    journal, link = Journal.open(tmp_path / "journal.db"), OwnLink(server.url, None, REQUEST.id)
    await journal.claimed([entry], 1)
    await link.register(REQUEST)
    output = tmp_path / "stdout"
    output.write_bytes(b"one\n")
    shipper = Shipper(link, journal, entry, tmp_path, noted.append, resumed=False, echo=False)
    journal._connection.execute("pragma query_only = on")
    shipper.begin()
    await until(lambda: "may be sent twice" in caplog.text)
    assert (attempt.output["stdout"], noted) == ("one\n", [])
    journal._connection.execute("pragma query_only = off")
    output.write_bytes(b"one\ntwo\n")
    await shipper.finish()
    assert noted == [{"stdout": 8, "stderr": 0, "records": 0}]
    await link.close()
    await journal.close()


# --- a whole agent

SMALL = {"REEVE_SPOOL_LIMIT": str(MIB)}
TEXT = b"".join(b"line %06d of the output of this run, which is long\n" % number for number in range(18_000))
assert MIB // 2 < len(TEXT) < MIB


class Loud:
    """A run that prints a file, and again when it is let."""

    def __init__(self, directory: Path) -> None:
        self.text, self._gate = directory / "text", directory / "gate"
        self.text.write_bytes(TEXT)
        wait = f"while ! test -e {self._gate}; do sleep 0.02; done"
        self.command = ("/bin/sh", "-c", f"cat {self.text}; {wait}; cat {self.text}; exit 3")

    def let_go(self) -> None:
        self._gate.touch()


@pytest.fixture
def loud(tmp_path: Path) -> Loud:
    return Loud(tmp_path)


def room(agents: Agents) -> int:
    """Return what the shim lets runs write."""
    (directory,) = agents.home.glob("agents/*/tester/shim/*")
    line = Line(directory)
    line.ask("hello", protocol=messages.PROTOCOL)
    told = line.ask("room")["ok"]
    line.close()
    return int(told["until"] - told["written"])


async def figures(agent: AgentProcess) -> list[str]:
    """Return what an agent says at its probe."""
    port = re.findall(r"http://127\.0\.0\.1:(\d+)/status", agent.log)[-1]
    reader, writer = await asyncio.open_connection("127.0.0.1", int(port))
    writer.write(b"GET /metrics HTTP/1.1\r\n\r\n")
    text = (await reader.read()).decode()
    writer.close()
    return text.splitlines()


def file_of(agents: Agents, attempt: Attempt) -> Path:
    (folder,) = agents.home.glob(f"agents/*/tester/spool/{attempt.id}")
    return folder / "stdout"


def lost_of(output: str, printed: str) -> int:
    """Return how many bytes a run's output says were lost; where it says so, just these are missing."""
    *parts, end = re.split(
        r"\n\[reeve\] (\d+) bytes of output were lost here: the agent's spool is full\n", output
    )
    lost = 0
    for part, count in zip(parts[::2], map(int, parts[1::2]), strict=True):
        assert printed.startswith(part)
        printed = printed[len(part) + count :]
        lost += count
    assert end == printed
    return lost


async def test_a_run_prints_more_than_the_spool_holds(server: StandIn, agents: Agents, loud: Loud) -> None:
    """While its agent is killed, too: what was freed was sent, and nothing is sent from where it was."""
    attempt = await server.submit(*loud.command)
    agent = await agents.start(SMALL)
    await server.until(lambda: attempt.offsets["stdout"] == len(TEXT))
    file = file_of(agents, attempt)
    await until(lambda: room(agents) > len(TEXT))
    await agent.end(signal.SIGKILL)
    loud.let_go()
    await until(lambda: read_exit(str(file.parent)))
    await agents.start(SMALL)
    await server.until(lambda: attempt.closed)
    assert attempt.output["stdout"].encode() == TEXT * 2
    assert attempt.exit.output_lost_bytes == 0
    assert attempt.exit.output_tail
    assert attempt.exit.output_tail.endswith(TEXT.splitlines()[-1].decode())


async def test_a_spool_full_of_what_is_not_sent_stops_no_run(
    server: StandIn, agents: Agents, loud: Loud
) -> None:
    loud.text.write_bytes(TEXT * 2)
    server.refusals[endpoints.attempt_output.name] = Refused(503, "later")
    attempt = await server.submit(*loud.command)
    agent = await agents.start(SMALL)
    await agent.says("The spool is full")
    file = file_of(agents, attempt)
    assert MIB // 2 < file.stat().st_size <= MIB + BLOCK
    loud.let_go()
    await until(lambda: read_exit(str(file.parent)))
    assert file.stat().st_size <= MIB + BLOCK
    del server.refusals[endpoints.attempt_output.name]
    await server.until(lambda: attempt.closed)
    assert attempt.exit.exit_code == 3
    lost = lost_of(attempt.output["stdout"], (TEXT * 4).decode())
    assert lost
    await agent.says(f"{lost} bytes of this run's output were lost")
    await agent.says("The spool has room again")
    assert f"reeve_agent_output_lost_bytes_total {lost}" in await figures(agent)
    assert f"reeve_agent_spool_limit_bytes {MIB}" in await figures(agent)
