"""Both shells against a real server that misbehaves."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.client.conftest import MakeShell
from tests.client.server import Handler, Script, ScriptedServer, drop, hang, raw, reply, reply_then_drop

from reeve.client.aio import AsyncClient
from reeve.client.calls import ApiError, ServerTimeoutError, ServerUnreachableError
from reeve.client.sync import Client
from reeve.errors import ReeveError, UnavailableError
from reeve.wire import codec, endpoints, requests


@pytest.fixture
def nobody() -> Iterator[str]:
    """An address at which nobody answers: the port was free a moment ago and is held, not listened on."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{held.getsockname()[1]}/api"


def test_a_call_goes_and_comes(server: ScriptedServer, script: Script, shell: MakeShell) -> None:
    script.then(reply(b"null", 201))
    body = requests.FlowRunInputCreate(key="ü", value="v")
    assert shell(server.url, "k").call(endpoints.create_input, body, id="a/b") is None
    seen = script.seen[0]
    assert (seen.method, seen.path) == ("POST", "/api/flow_runs/a%2Fb/input")
    assert codec.decode(seen.body, requests.FlowRunInputCreate) == body
    headers = {name.lower(): value for name, value in seen.headers.items()}
    assert headers["authorization"] == "Bearer k"
    assert headers["x-prefect-api-version"] == "0.8.4"
    assert headers["content-type"] == "application/json"
    assert headers["host"] == server.url.split("/")[2]


def test_a_write_without_body_has_a_length(server: ScriptedServer, script: Script, shell: MakeShell) -> None:
    shell(server.url).call(endpoints.pause_deployment, id="i")
    headers = {name.lower(): value for name, value in script.seen[0].headers.items()}
    assert headers["content-length"] == "0"


def test_calls_share_a_connection(server: ScriptedServer, script: Script, shell: MakeShell) -> None:
    client = shell(server.url)
    for _ in range(3):
        assert client.call(endpoints.health) is True
    assert {seen.connection for seen in script.seen} == {1}


def test_a_connection_closed_while_idle_costs_nothing(
    server: ScriptedServer, script: Script, shell: MakeShell
) -> None:
    script.then(reply_then_drop(b"true"))
    client = shell(server.url, patience=0)
    assert client.call(endpoints.health) is True
    assert script.dropped.wait(5)
    assert client.call(endpoints.health) is True
    assert [seen.connection for seen in script.seen] == [1, 2]


def test_a_connection_that_is_dropped_in_a_call_is_made_anew(
    server: ScriptedServer, script: Script, shell: MakeShell
) -> None:
    script.then(drop, drop)
    assert shell(server.url).call(endpoints.health) is True
    assert len(script.seen) == 3


def test_a_busy_server_sets_the_pace(server: ScriptedServer, script: Script, shell: MakeShell) -> None:
    script.then(reply(b'{"detail":"Busy."}', 503, Retry_After="0.2"))
    heard: list[tuple[ReeveError, float]] = []
    began = time.monotonic()
    client = shell(server.url, notice=lambda error, seconds: heard.append((error, seconds)))
    assert client.call(endpoints.health) is True
    assert time.monotonic() - began >= 0.2
    assert isinstance(heard[0][0], UnavailableError)


def test_a_slow_answer_is_named_as_such(server: ScriptedServer, script: Script, shell: MakeShell) -> None:
    script.then(hang)
    with pytest.raises(ServerTimeoutError, match=r"did not answer within 0\.2 s"):
        shell(server.url, timeout=0.2, patience=0).call(endpoints.health)


def test_a_call_may_wait_longer_than_its_client(
    server: ScriptedServer, script: Script, shell: MakeShell
) -> None:
    waited = threading.Event()

    def slow(handler: Handler) -> None:
        waited.wait(0.4)
        reply(b"true")(handler)

    script.then(slow)
    assert shell(server.url, timeout=0.1, patience=0).call(endpoints.health, timeout=5) is True


@pytest.mark.parametrize(
    "data",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\ntru",
        b"HTTP/1.1 banana\r\n\r\n",
        b"",
    ],
)
def test_garbage_is_no_server(server: ScriptedServer, script: Script, shell: MakeShell, data: bytes) -> None:
    script.then(raw(data))
    with pytest.raises(ServerUnreachableError, match="Start one with: reeve up"):
        shell(server.url, patience=0).call(endpoints.health)


def test_another_kind_of_server_is_told(server: ScriptedServer, script: Script, shell: MakeShell) -> None:
    script.then(reply(b"<html>hello</html>"))
    with pytest.raises(ApiError, match="Is this the API's address"):
        shell(server.url).call(endpoints.server_info)


OK = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    "answer",
    [
        OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\ntr\r\n2\r\nue\r\n0\r\n\r\n",
        OK + b"Connection: close\r\n\r\ntrue",
        b"HTTP/1.0 200 OK\r\n\r\ntrue",
        b"HTTP/1.1 100 Continue\r\n\r\n" + OK + b"CONTENT-LENGTH: 4\r\n\r\ntrue",
    ],
    ids=["in chunks", "until the end", "of old", "after a word before"],
)
def test_answers_have_many_forms(
    server: ScriptedServer, script: Script, shell: MakeShell, answer: bytes
) -> None:
    script.then(raw(answer), raw(answer))
    client = shell(server.url)
    assert [client.call(endpoints.health) for _ in range(2)] == [True, True]
    assert script.connections == 2


@pytest.mark.parametrize(
    "cut", [b"Content-Length: 9\r\n\r\ntrue", b"Transfer-Encoding: chunked\r\n\r\n9\r\nt"]
)
def test_half_an_answer_is_none(server: ScriptedServer, script: Script, shell: MakeShell, cut: bytes) -> None:
    script.then(raw(OK + cut))
    with pytest.raises(ServerUnreachableError):
        shell(server.url, patience=0).call(endpoints.health)
    assert shell(server.url).call(endpoints.health) is True


def test_nobody_there_says_how_to_start_one(nobody: str, shell: MakeShell) -> None:
    with pytest.raises(ServerUnreachableError) as caught:
        shell(nobody, patience=0).call(endpoints.health)
    assert caught.value.message.startswith(f"No reeve server answers at {nobody} (")
    assert caught.value.message.endswith("Start one with: reeve up")
    assert caught.value.code == "server_unreachable"


def test_an_unknown_host_is_unreachable(shell: MakeShell) -> None:
    with pytest.raises(ServerUnreachableError, match=r"nowhere\.invalid"):
        shell("http://nowhere.invalid/api", patience=0).call(endpoints.health)


def test_a_server_that_comes_back_is_found(shell: MakeShell) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]

        def serve_once(error: ReeveError, seconds: float) -> None:
            if not listening.is_set():
                held.listen()
                listening.set()

        listening = threading.Event()
        client = shell(f"http://127.0.0.1:{port}/api", notice=serve_once)

        def answer() -> None:
            listening.wait(5)
            with held.accept()[0] as connection:
                connection.recv(65536)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\ntrue")

        with ThreadPoolExecutor(1) as thread:
            done = thread.submit(answer)
            assert client.call(endpoints.health) is True
            done.result(5)


def test_threads_do_not_wait_for_each_other(server: ScriptedServer, script: Script) -> None:
    meeting = threading.Barrier(4)

    def together(handler: Handler) -> None:
        meeting.wait(5)
        reply(b"true")(handler)

    script.then(*[together] * 4)
    with Client(server.url) as client, ThreadPoolExecutor(4) as threads:
        answers = [threads.submit(client.call, endpoints.health) for _ in range(4)]
        assert all(answer.result(5) for answer in answers)
    assert script.connections == 4


async def test_async_calls_do_not_wait_for_each_other(server: ScriptedServer, script: Script) -> None:
    meeting = threading.Barrier(20)

    def together(handler: Handler) -> None:
        meeting.wait(5)
        reply(b"true")(handler)

    script.then(*[together] * 20)
    async with AsyncClient(server.url) as client:
        assert all(await asyncio.gather(*(client.call(endpoints.health) for _ in range(20))))


def test_a_fork_takes_connections_of_its_own(server: ScriptedServer, script: Script) -> None:
    with Client(server.url) as client:
        client.call(endpoints.health)
        child = os.fork()
        if child == 0:
            os._exit(0 if client.call(endpoints.health) else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        client.call(endpoints.health)
    assert [seen.connection for seen in script.seen] == [1, 2, 1]


def test_a_closed_client_can_call_again(server: ScriptedServer, script: Script) -> None:
    client = Client(server.url)
    client.call(endpoints.health)
    client.close()
    client.call(endpoints.health)
    client.close()
    assert script.connections == 2
