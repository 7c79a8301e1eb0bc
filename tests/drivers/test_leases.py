"""Leases as the shim counts and renews them, against a real server."""

from __future__ import annotations

import asyncio
import json
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal

import pytest
from tests.drivers.conftest import PATIENCE, Agent, Home, script, until

from reeve.clock import boottime
from reeve.core.crashes import CrashReason
from reeve.drivers.base import Lease, NotLaunchedError, Renewal, cause, crash_reason
from reeve.drivers.process import lease as shim_lease
from reeve.drivers.process import spool, tree

Answer = Callable[[dict[str, Any]], tuple[int, object]]


class LeaseServer:
    """A server that renews leases: it keeps what it was asked, and answers as told."""

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        server = self
        self.asked: list[dict[str, Any]] = []
        self.answer: Answer = lambda _: (200, {"lease_seconds": 2, "stop": []})

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                server.asked.append(body | {"path": self.path})
                status, answer = server.answer(body)
                self.send_response(status)
                self.end_headers()
                self.wfile.write(json.dumps(answer).encode())

            def log_message(self, *_: object) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        if context:
            self._http.socket = context.wrap_socket(self._http.socket, server_side=True)
        self._thread = threading.Thread(target=self._http.serve_forever)
        self._thread.start()

    def renewal(self, token: str = "secret", scheme: str = "http") -> Renewal:
        host = "localhost" if scheme == "https" else "127.0.0.1"
        url = f"{scheme}://{host}:{self._http.server_port}/api/attempts/renew?a=1"
        return Renewal(url=url, token=token)

    def close(self) -> None:
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()


@pytest.fixture
def server() -> Iterator[LeaseServer]:
    server = LeaseServer()
    yield server
    server.close()


def lease(seconds: float, on_lost: Literal["wait", "replace"] = "wait", margin: float = 0.5) -> Lease:
    return Lease(seconds=seconds, sent_at=boottime(), on_lost=on_lost, margin_seconds=margin)


@pytest.fixture(params=[2])
async def running(agent: Agent, server: LeaseServer, request: pytest.FixtureRequest) -> list[str]:
    """Two runs whose leases last two seconds, or what is asked for; nobody but the shim renews them."""
    launches = [
        script("sleep 1000", lease=lease(request.param, "replace"), renewal=server.renewal(token))
        for token in ("a", "b")
    ]
    for launch in launches:
        await agent.driver.launch(launch)
    return [str(launch.attempt) for launch in launches]


async def test_the_shim_renews_when_no_agent_does(
    home: Home, agent: Agent, server: LeaseServer, running: list[str]
) -> None:
    await agent.close()
    await until(lambda: len(server.asked) >= 4)  # twice as long as the lease lasts
    attempts = [{"id": running[0], "token": "a"}, {"id": running[1], "token": "b"}]
    assert server.asked[-1] == {"attempts": attempts, "path": "/api/attempts/renew?a=1"}
    found = await home.agent().driver.recover()
    assert [one.exit for one in found] == [None, None]


async def test_the_shim_leaves_renewing_to_an_agent_that_does_it(
    agent: Agent, server: LeaseServer, running: list[str]
) -> None:
    handles = [one.handle for one in await agent.driver.recover() if one.handle]
    end = boottime() + 3
    while (now := boottime()) < end:
        await agent.driver.renewed([one.attempt for one in handles], sent_at=now, lease_seconds=2)
        await asyncio.sleep(0.1)
    assert server.asked == []
    assert agent.told == []
    await until(lambda: server.asked)  # and takes over when it stops


async def test_an_answer_can_say_stop(agent: Agent, server: LeaseServer, running: list[str]) -> None:
    server.answer = lambda _: (200, {"lease_seconds": 2, "stop": [running[0]]})
    await until(lambda: agent.told)
    record = agent.told[0]
    assert str(record.attempt) == running[0]
    assert cause(record) == "ended by SIGTERM after the server told it to stop"
    asked = len(server.asked)
    await until(lambda: len(server.asked) > asked + 1)
    assert [str(one.attempt) for one in agent.told] == running[:1]


@pytest.mark.parametrize("running", [4], indirect=True)  # long enough to ask twice on a busy machine
@pytest.mark.parametrize("answer", [(500, {}), (200, []), (200, {"lease": 2})])
async def test_a_failed_renewal_is_repeated_and_renews_nothing(
    agent: Agent, server: LeaseServer, running: list[str], answer: tuple[int, object]
) -> None:
    server.answer = lambda _: answer
    await until(lambda: len(agent.told) == 2)
    assert len(server.asked) > 1
    assert {cause(one) for one in agent.told} == {"ended by SIGTERM after its lease was lost"}


async def test_a_lost_lease_ends_the_run_where_another_may_begin(agent: Agent) -> None:
    """One margin before the lease is over; under ``wait`` the run goes on."""
    waits = await agent.driver.launch(script("sleep 1000", lease=lease(0.5, "wait")))
    replaced = lease(2, "replace", margin=1)
    launch = script("sleep 1000", lease=replaced)
    await agent.driver.launch(launch)
    record = await agent.exit(launch)
    assert record.stopped_by == "lease"
    assert replaced.sent_at + 1 <= boottime() < replaced.sent_at + 30
    assert [one.attempt for one in agent.told] == [launch.attempt]
    await agent.driver.stop(waits, 0)


def self_signed(folder: Path) -> tuple[ssl.SSLContext, Path]:
    """Return a server's context for localhost, and the file that makes clients trust it."""
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    files = ["-keyout", str(key), "-out", str(certificate)]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *names, *files]
    subprocess.run(command, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context, certificate


async def test_a_lease_is_renewed_over_tls(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context, certificate = self_signed(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    server = LeaseServer(context)
    try:
        renewal = server.renewal(scheme="https")
        launch = script("sleep 1000", lease=lease(2), renewal=renewal)
        await home.agent().driver.launch(launch)
        await until(lambda: server.asked)
        assert server.asked[0]["attempts"] == [{"id": str(launch.attempt), "token": "secret"}]
        monkeypatch.setenv("SSL_CERT_FILE", "/dev/null")
        port = int(renewal.url.split(":")[2].split("/")[0])
        with pytest.raises(ssl.SSLError, match="CERTIFICATE_VERIFY_FAILED"):
            await asyncio.to_thread(shim_lease.post, ("localhost", port, True, "/"), {})
    finally:
        server.close()


async def test_an_address_that_is_none_is_explained(agent: Agent) -> None:
    with pytest.raises(NotLaunchedError, match="give an http or https address"):
        await agent.driver.launch(script("exit 0", renewal=Renewal(url="ftp://host/x", token="t")))


def test_only_a_later_renewal_extends_a_lease() -> None:
    order = {"seconds": 20, "sent_at": 100.0, "margin_seconds": 5, "on_lost": "replace"}
    held = shim_lease.Lease(order)
    assert (held.wants_shim(107.9), held.wants_shim(108.0)) == (False, True)  # renewed at 5, patience of 3
    assert (held.is_lost(114.9), held.is_lost(115.0)) == (False, True)
    held.renewed(99.0, 50)
    assert held.is_lost(115.0)
    held.renewed(110.0, 40)
    assert (held.is_lost(144.9), held.is_lost(145.0)) == (False, True)
    assert not shim_lease.Lease(order | {"on_lost": "wait"}).is_lost(1e9)


DEAF = "trap '' TERM; while :; do sleep 0.05; done"


async def test_who_hears_no_sigterm_is_gone_when_its_lease_ends(agent: Agent) -> None:
    """Its job grants it longer, but then another attempt would run beside it."""
    replaced = lease(2, "replace", margin=1)
    launch = script(DEAF, lease=replaced, grace_seconds=PATIENCE)
    await agent.driver.launch(launch)
    record = await agent.exit(launch)
    assert (record.stopped_by, record.killed) == ("lease", True)
    assert replaced.sent_at + 2 <= boottime() < replaced.sent_at + 20
    assert crash_reason(record) is CrashReason.AGENT_LOST


async def test_what_holds_its_attempt_no_more_is_ended_without_its_grace(
    agent: Agent, server: LeaseServer
) -> None:
    waits = lease(2)
    launch = script(DEAF, lease=waits, renewal=server.renewal(), grace_seconds=PATIENCE)
    server.answer = lambda _: (200, {"lease_seconds": 2, "stop": [], "over": [str(launch.attempt)]})
    await agent.driver.launch(launch)
    record = await agent.exit(launch)
    assert (record.stopped_by, record.killed) == ("server", True)


async def test_what_runs_longer_than_it_may_is_ended_by_the_shim_alone(home: Home, agent: Agent) -> None:
    launch = script("sleep 1000", max_seconds=0.5)
    began = boottime()
    handle = await agent.driver.launch(launch)
    await agent.close()
    pid = int(handle.infrastructure_pid.rpartition(":")[2])
    await until(lambda: tree.read(pid) is None)
    await until(lambda: spool.read_exit(str(home.path / "spool" / str(launch.attempt))))
    (found,) = await home.agent().driver.recover()
    record = found.exit
    assert record
    assert record.stopped_by == "time"
    assert cause(record) == "ended by SIGTERM after it ran longer than its limit"
    assert began + 0.5 <= boottime()
