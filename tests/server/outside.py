"""A server seen from outside: the real application on a real socket, called with raw HTTP."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import httpx2
import uvicorn

from reeve.core.attempts import LeaseTerms
from reeve.server.http.api import Api
from reeve.server.http.auth import Doors
from reeve.server.services.context import Context
from reeve.server.services.hub import Hub
from reeve.server.services.secrets import Keyring
from reeve.server.storage.store import open_store

Json = dict[str, Any]
SECRET = b"s" * 32
KEYRING = Keyring.read("k" * 43)


class Outside:
    """What a client sees; ``ctx`` is the server's inside, for what no route can prepare."""

    def __init__(self, ctx: Context, http: httpx2.AsyncClient) -> None:
        self.ctx = ctx
        self.http = http

    async def get(self, path: str, **how: Any) -> httpx2.Response:
        return await self.http.get(f"/api{path}", **how)

    async def post(self, path: str, body: Any = None, **how: Any) -> httpx2.Response:
        return await self.http.post(f"/api{path}", **({} if body is None else {"json": body}), **how)

    async def patch(self, path: str, body: Any, **how: Any) -> httpx2.Response:
        return await self.http.patch(f"/api{path}", json=body, **how)

    async def put(self, path: str, body: Any, **how: Any) -> httpx2.Response:
        return await self.http.put(f"/api{path}", json=body, **how)

    async def delete(self, path: str, **how: Any) -> httpx2.Response:
        return await self.http.delete(f"/api{path}", **how)

    # What tests begin with

    async def flow(self, name: str = "f", **fields: Any) -> Any:
        return made(await self.post("/flows/", {"name": name, **fields}))

    async def deployment(self, name: str = "d", *, flow: str = "f", **fields: Any) -> Any:
        body = {"name": name, "flow_id": (await self.flow(flow))["id"], **fields}
        return made(await self.post("/deployments/", body))

    async def pool(self, name: str = "p", **fields: Any) -> Any:
        return made(await self.post("/work_pools/", {"name": name, **fields}))

    async def queue(self, name: str = "q", *, pool: str | None = None, **fields: Any) -> Any:
        path = "/work_queues/" if pool is None else f"/work_pools/{pool}/queues"
        return made(await self.post(path, {"name": name, **fields}))

    async def run_of(self, deployment: Json, **fields: Any) -> Any:
        return made(await self.post(f"/deployments/{deployment['id']}/create_flow_run", fields))

    async def run(self, *, flow: str = "f", **fields: Any) -> Any:
        body = {"flow_id": (await self.flow(flow))["id"], **fields}
        return made(await self.post("/flow_runs/", body))

    async def enter(self, run: Json, type_: str, *, force: bool = False, **state: Any) -> httpx2.Response:
        body = {"state": {"type": type_, **state}, "force": force}
        return await self.post(f"/flow_runs/{run['id']}/set_state", body)

    async def grant(self, *, pool: str, free: int = 1) -> Json:
        """Register an agent that serves a pool and return the first run it is granted."""
        agent_id = str(uuid4())
        who = {"id": agent_id, "name": agent_id, "host": "h", "machine_id": "m", "boot_id": "b"}
        registered = made(await self.post("/agents/register", {**who, "version": "0", "pool": pool}))
        poll = {"epoch": registered["epoch"], "seq": 1, "free": free, "held": [], "acked_grant": 0}
        work = made(await self.post(f"/agents/{agent_id}/poll", poll))
        grant: Json = work["grants"][0]
        return {**grant, "agent_id": agent_id, "epoch": registered["epoch"]}

    async def report(self, grant: Json, report: Json) -> httpx2.Response:
        """Be the agent that has a report to make of what it was granted."""
        told = {"id": grant["attempt_id"], "reports": [report]}
        return await self.post("/attempts/reports", {"epoch": grant["epoch"], "attempts": [told]})


def made(response: httpx2.Response) -> Any:
    """Return the body of an answer that says it went well."""
    assert response.is_success, (response.status_code, response.text)
    return response.json()


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


@contextlib.asynccontextmanager
async def serving(
    database_url: str, *, key: str | None = None, allow_reset: bool = False, **doors: Any
) -> AsyncIterator[Outside]:
    """Serve a database on a free port, without loops; a key is sent by the client too."""
    store = await open_store(database_url)
    hub = Hub()
    store.listen(hub.wake)
    ctx = Context(
        store=store, hub=hub, secret=SECRET, keyring=KEYRING, terms=LeaseTerms(), allow_reset=allow_reset
    )
    config = uvicorn.Config(
        Api(ctx, Doors.of(key=key, secret=SECRET, **doors)),
        port=0,
        http="httptools",
        ws="websockets-sansio",
        lifespan="off",
        log_config=None,
    )
    server = _Server(config)
    serve = asyncio.create_task(server.serve())
    try:
        await asyncio.wait(
            {serve, up := asyncio.create_task(server.up.wait())}, return_when="FIRST_COMPLETED"
        )
        up.cancel()
        port = server.servers[0].sockets[0].getsockname()[1]
        async with httpx2.AsyncClient(
            base_url=f"http://127.0.0.1:{port}",
            headers=bearer(key) if key else {},
            timeout=30,
            verify=False,  # there is no TLS, and to load the authorities takes longer than most tests
        ) as http:
            yield Outside(ctx, http)
    finally:
        ctx.stopping.set()
        hub.wake_all()
        server.should_exit = True
        await serve
        await store.close()


class _Server(uvicorn.Server):
    """uvicorn that says when it listens, and leaves the signals to pytest."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.up = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Any:
        yield

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        self.up.set()
