"""The websocket of 2.20's ``task.serve()``: who is told of which task runs."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import websockets
from tests.server.outside import Outside, made, serving
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

PATH = "/api/task_runs/subscriptions/scheduled"
KEY = "k" * 20


@contextlib.asynccontextmanager
async def subscribed(api: Outside, *keys: str, token: str | None = None) -> AsyncIterator[ClientConnection]:
    async with connected(api) as socket:
        await say(socket, type="auth", token=token)
        assert await heard(socket) == {"type": "auth_success"}
        await say(socket, type="subscribe", keys=list(keys), client_id="here")
        yield socket


def connected(api: Outside, protocol: str = "prefect") -> connect:
    address = str(api.http.base_url).replace("http", "ws", 1).rstrip("/") + PATH
    return connect(address, subprotocols=[Subprotocol(protocol)])


async def say(socket: ClientConnection, **message: Any) -> None:
    await socket.send(json.dumps(message))


async def heard(socket: ClientConnection) -> Any:
    return json.loads(await asyncio.wait_for(socket.recv(), 30))


async def told(socket: ClientConnection) -> Any:
    """Return the next task run, acknowledged."""
    run = await heard(socket)
    await say(socket, type="ack")
    return run


async def delayed(api: Outside, key: str, dynamic_key: str = "0") -> Any:
    """Ask for a task run as ``.delay()`` does."""
    body = {"task_key": key, "dynamic_key": dynamic_key, "name": dynamic_key, "state": {"type": "SCHEDULED"}}
    return made(await api.post("/task_runs/", body))


async def test_a_subscriber_is_told_of_what_waits_and_of_what_comes(api: Outside) -> None:
    waits = await delayed(api, "a", "0")
    await delayed(api, "other")
    async with subscribed(api, "a", "b") as socket:
        assert (await told(socket))["id"] == waits["id"]
        comes = await delayed(api, "b", "1")
        run = await told(socket)
    assert run == (await api.get(f"/task_runs/{comes['id']}")).json() | {
        "estimated_start_time_delta": run["estimated_start_time_delta"]
    }


async def test_each_task_run_is_offered_to_one_subscriber(api: Outside) -> None:
    async with subscribed(api, "a") as first, subscribed(api, "a") as second:
        asked = [(await delayed(api, "a", str(number)))["id"] for number in range(4)]
        reading = {asyncio.ensure_future(told(socket)): socket for socket in (first, second)}
        found: list[str] = []
        while len(found) < len(asked):
            done, _ = await asyncio.wait(reading, return_when=asyncio.FIRST_COMPLETED)
            for each in done:
                found.append(each.result()["id"])
                socket = reading.pop(each)
                reading[asyncio.ensure_future(told(socket))] = socket
        for each in reading:
            each.cancel()
    assert sorted(found) == sorted(asked)


async def test_what_was_not_acknowledged_is_offered_again(api: Outside) -> None:
    run = await delayed(api, "a")
    async with subscribed(api, "a") as first:
        assert (await heard(first))["id"] == run["id"]
    async with subscribed(api, "a") as second:
        assert (await told(second))["id"] == run["id"]


async def test_task_runs_of_flows_are_not_offered(api: Outside) -> None:
    flow_run = await api.run()
    body = {
        "task_key": "a",
        "dynamic_key": "0",
        "flow_run_id": flow_run["id"],
        "state": {"type": "SCHEDULED"},
    }
    made(await api.post("/task_runs/", body))
    async with subscribed(api, "a") as socket:
        free = await delayed(api, "a")
        assert (await told(socket))["id"] == free["id"]


@pytest.mark.parametrize(
    ("messages", "code"),
    [
        ([{"type": "subscribe", "keys": ["a"]}], 1008),
        ([{"type": "auth"}, {"type": "hello"}], 4001),
        ([{"type": "auth"}, {"type": "subscribe", "keys": []}], 4001),
        ([{"type": "auth"}, {"type": "subscribe", "keys": ["a"]}, {"type": "quit"}], 1000),
        ([{"type": "auth"}, {"type": "subscribe", "keys": ["a"]}, {"type": "what"}], 4001),
    ],
)
async def test_what_is_no_subscription_is_closed(api: Outside, messages: list[Any], code: int) -> None:
    async with connected(api) as socket:
        for message in messages:
            await say(socket, **message)
        await asyncio.wait_for(socket.wait_closed(), 30)
        assert socket.close_code == code


async def test_another_protocol_is_refused(api: Outside) -> None:
    with pytest.raises(websockets.InvalidStatus):
        async with connected(api, "graphql-ws"):
            pass


async def test_the_key_is_asked_for(database_url: str) -> None:
    async with serving(database_url, key=KEY) as api:
        await delayed(api, "a")
        async with connected(api) as socket:
            await say(socket, type="auth", token="wrong")
            with pytest.raises(websockets.ConnectionClosed):
                await asyncio.wait_for(socket.recv(), 30)
            assert socket.close_code == 1008
        async with subscribed(api, "a", token=KEY) as socket:
            assert (await told(socket))["task_key"] == "a"
