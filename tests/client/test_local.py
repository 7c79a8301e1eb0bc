"""The agent's local socket, from both ends: the relay, and the line of a run's process to it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from tests.client.server import Script, ScriptedServer, reply

from reeve.agent.batch import Batches
from reeve.agent.relay import Relay
from reeve.client import local
from reeve.client.calls import ServerUnreachableError
from reeve.client.local import LocalLine
from reeve.client.sync import Client
from reeve.errors import ForbiddenError, UnavailableError
from reeve.wire import endpoints, requests
from reeve.wire.requests import Call
from reeve.wire.responses import CallReply

TEXT = requests.FlowRunInputCreate(key="k", value="v")


class Far:
    """The server beyond the relay."""

    def __init__(self) -> None:
        self.asked: list[list[Call]] = []
        self.free = asyncio.Event()
        self.free.set()
        self.fault: Exception | None = None
        self.status = 201

    async def send(self, calls: Sequence[Call]) -> list[CallReply]:
        self.asked.append([*calls])
        await self.free.wait()
        if self.fault is not None:
            raise self.fault
        return [CallReply(status=self.status, body=msgspec.Raw(b"null")) for _ in calls]


@pytest.fixture
def far() -> Far:
    return Far()


@pytest.fixture
async def relay(far: Far, tmp_path: Path) -> AsyncIterator[Relay]:
    # Longer than the address of a socket can be.
    directory = tmp_path / ("d" * 100)
    directory.mkdir()
    made = Relay(Batches(far.send).put)
    await made.open(directory)
    yield made
    made.close()


def client(server: ScriptedServer, relay: Relay, **how: float | None) -> Client:
    return Client(server.url, "token", local=LocalLine(str(relay.path)), **how)  # type: ignore[arg-type]


async def ask(asking: Client) -> None:
    with asking:
        await asyncio.to_thread(asking.call, endpoints.create_input, TEXT, id="r")


async def test_a_call_goes_by_the_agent(
    server: ScriptedServer, script: Script, relay: Relay, far: Far
) -> None:
    asking = client(server, relay)
    for _ in range(2):
        await ask(asking)
    assert not script.seen
    (first,), (second,) = far.asked
    assert (first.method, first.path, first.key) == ("POST", "/flow_runs/r/input", "token")
    assert (
        msgspec.json.decode(first.body, type=requests.FlowRunInputCreate)
        == TEXT
        == msgspec.json.decode(second.body, type=requests.FlowRunInputCreate)
    )


async def test_calls_of_many_processes_go_together(server: ScriptedServer, relay: Relay, far: Far) -> None:
    far.free.clear()
    waiting = [asyncio.create_task(ask(client(server, relay))) for _ in range(4)]
    while not far.asked or relay._on_the_way.total() < 4:
        await asyncio.sleep(0.01)
    far.free.set()
    await asyncio.gather(*waiting)
    assert sum(map(len, far.asked)) == 4
    assert len(far.asked) <= 2  # those that came before the first left, and the rest


async def test_a_server_that_is_away_is_tried_again(
    server: ScriptedServer, script: Script, relay: Relay, far: Far
) -> None:
    far.fault = ServerUnreachableError.at("http://far", "refused")
    with pytest.raises(UnavailableError, match="No reeve server answers at http://far"):
        await ask(client(server, relay, patience=0))
    assert not script.seen


@pytest.mark.parametrize("what", ["refused", "not passed on", "no agent", "closed", "silent", "too long"])
async def test_what_the_agent_cannot_do_is_asked_directly(
    server: ScriptedServer,
    script: Script,
    relay: Relay,
    far: Far,
    what: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    script.then(reply(b"null", 201))
    asking = client(server, relay)
    match what:
        case "refused":  # a server that knows of no such calls
            far.fault = ForbiddenError("no")
        case "not passed on":
            far.status = 0
        case "no agent":
            assert relay.path is not None
            relay.path.unlink()
        case "closed":  # in the middle of the answer
            far.free.clear()
            asyncio.get_running_loop().call_later(0.2, relay.close)
        case "silent":
            monkeypatch.setattr(local, "ANSWER_SECONDS", 0.2)
            far.free.clear()
        case "too long":
            monkeypatch.setattr(local, "LONGEST", 10)
    await ask(asking)
    assert [seen.path for seen in script.seen] == ["/api/flow_runs/r/input"]


async def test_an_agent_that_was_silent_is_left_alone_for_a_while(
    server: ScriptedServer, script: Script, relay: Relay, far: Far, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "ANSWER_SECONDS", 0.2)
    far.free.clear()
    asking = client(server, relay)
    script.then(reply(b"null", 201), reply(b"null", 201))
    for _ in range(2):
        await ask(asking)
    assert (len(script.seen), len(far.asked)) == (2, 1)


async def test_an_end_waits_for_what_is_on_its_way(server: ScriptedServer, relay: Relay, far: Far) -> None:
    far.free.clear()
    asking = asyncio.create_task(ask(client(server, relay)))
    while not far.asked:
        await asyncio.sleep(0.01)
    await relay.settled("another run's")
    settled = asyncio.create_task(relay.settled("token"))
    done, _ = await asyncio.wait({settled}, timeout=0.1)
    assert not done
    far.free.set()
    await asyncio.gather(settled, asking)


async def test_without_room_for_a_socket_runs_do_without(far: Far, tmp_path: Path) -> None:
    (tmp_path / local.NAME).mkdir()  # what is in its place cannot be taken away
    made = Relay(Batches(far.send).put)
    await made.open(tmp_path)
    assert made.path is None
    made.close()


async def test_nonsense_is_hung_up_on(relay: Relay, far: Far) -> None:
    for nonsense in (b"\0\0\0\2{}", b"\xff" * 8):
        line = LocalLine(str(relay.path)).connected()
        with closing(line):
            await asyncio.to_thread(line.sendall, nonsense)
            assert await asyncio.to_thread(line.recv, 1) == b""
    assert not far.asked
