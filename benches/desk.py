"""An agent as the server hears it: polls and reports over a connection of its own, and no processes."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from benches.bench_api import Site
from benches.load import Connection, connect

HOLD_SECONDS = 25.0  # how long a poll is held open, as a real agent asks


@dataclass
class Desk:
    """A registered agent of a pool; what it was granted it holds until it reports the end."""

    site: Site
    id: str
    epoch: int
    connection: Connection
    seq: int = 0
    acked: int = 0

    def __post_init__(self) -> None:
        self.held: list[str] = []

    @classmethod
    async def register(cls, site: Site, pool: str) -> Desk:
        """Register a new agent of a pool."""
        who = str(uuid4())
        body = {"id": who, "name": who, "host": "h", "machine_id": "m", "boot_id": "b", "version": "0"}
        made = await site.call("POST", "/agents/register", {**body, "pool": pool})
        return cls(site, who, made["epoch"], await connect(site.port))

    async def poll(self, free: int, *, hold: float = 0.0) -> list[str]:
        """Ask for work; return the attempts that were granted."""
        self.seq += 1
        body = {
            "epoch": self.epoch,
            "seq": self.seq,
            "free": free,
            "held": self.held,
            "acked_grant": self.acked,
            "hold_seconds": hold,
        }
        answer = await self._ask(f"/agents/{self.id}/poll", body)
        grants = answer["grants"]
        if grants:
            self.acked = grants[-1]["number"]
        granted = [grant["attempt_id"] for grant in grants]
        self.held += granted
        return granted

    async def finish(self, attempts: list[str]) -> None:
        """Report attempts as launched and exited."""
        reports = [
            {"kind": "launched", "seq": 1, "handle": {"pid": 1}, "infrastructure_pid": "h:1"},
            {"kind": "exited", "seq": 2, "cause": "exited with code 0", "exit_code": 0},
        ]
        told = [{"id": one, "reports": reports} for one in attempts]
        await self._ask("/attempts/reports", {"epoch": self.epoch, "attempts": told})
        self.held = [one for one in self.held if one not in attempts]

    async def wait(self) -> None:
        """Poll for ever, as an agent does that nothing is due for."""
        while True:
            await self.poll(1, hold=HOLD_SECONDS)

    def leave(self) -> None:
        """Close the connection."""
        self.connection.transport.abort()

    async def _ask(self, path: str, body: dict[str, Any]) -> Any:
        status, content = await self.connection.ask(self.site.request("POST", path, body))
        assert status < 400, (path, status, content)
        return json.loads(content) if content else None


async def dispatch(desk: Desk, deployment: str) -> float:
    """Return the milliseconds from asking for a run to its grant in an open poll."""
    poll = asyncio.create_task(desk.poll(1, hold=HOLD_SECONDS))
    await asyncio.sleep(0)  # the poll is sent first
    began = time.perf_counter()
    created = asyncio.create_task(desk.site.call("POST", f"/deployments/{deployment}/create_flow_run", {}))
    granted = await poll
    took = (time.perf_counter() - began) * 1000
    await created
    await desk.finish(granted)
    return took
