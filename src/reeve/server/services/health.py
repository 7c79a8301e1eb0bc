"""How the server is: whether its database answers and its clock is right, and its figures."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

from msgspec import Struct

from reeve import clock
from reeve.core.agents import AgentStatus
from reeve.server.services.context import Context
from reeve.server.storage import health

if TYPE_CHECKING:
    from reeve.server.storage.store import Transaction

CLOCK_OFF_SECONDS = 2.0  # protocol §3
_PAGE = os.sysconf("SC_PAGE_SIZE")


class Figures(Struct, frozen=True):
    """What a server counts. Seconds; ``clock_offset``: how far its clock is ahead of its database's."""

    agents: dict[str, int]
    open_attempts: int
    due_runs: int
    due_since: float
    polls: int
    clock_offset: float


async def clock_offset(ctx: Context) -> float:
    """Return the seconds that this server's clock is ahead of its database's.

    Raises UnavailableError when the database does not answer.
    """
    before = clock.now()
    at = await ctx.store.read(lambda tx: tx.now())
    return ((before + (clock.now() - before) / 2) - at).total_seconds()


def clock_warning(offset: float) -> str | None:
    """Say that a clock is wrong: leases go by the database's, but lines of logs and people do not."""
    if abs(offset) <= CLOCK_OFF_SECONDS:
        return None
    where = "ahead of" if offset > 0 else "behind"
    return f"The clock of this server is {abs(offset):.1f} s {where} its database's. Set it by NTP."


async def figures(ctx: Context) -> Figures:
    """Return the figures of the moment; raises UnavailableError."""

    async def look(tx: Transaction) -> Figures:
        now = await tx.now()
        count, first = await health.due(tx, now)
        return Figures(
            agents=await health.agents_by_status(tx),
            open_attempts=await health.open_attempts(tx),
            due_runs=count,
            due_since=0.0 if first is None else (now - first).total_seconds(),
            polls=ctx.presence.open_polls,
            clock_offset=offset,
        )

    offset = await clock_offset(ctx)
    return await ctx.store.read(look)


def metrics(seen: Figures) -> Iterator[str]:
    """Write figures as Prometheus reads them."""
    cpu = os.times()
    with open("/proc/self/statm", "rb") as file:  # noqa: PTH123  # as cheap as it gets
        resident = int(file.read().split()[1]) * _PAGE
    yield "# HELP reeve_agents Agents by what the server hears of them."
    yield "# TYPE reeve_agents gauge"
    for status in AgentStatus:
        yield f'reeve_agents{{status="{status.lower()}"}} {seen.agents.get(status, 0)}'
    for name, kind, says, value in (
        ("open_attempts", "gauge", "Attempts that hold a run.", seen.open_attempts),
        ("due_runs", "gauge", f"Due runs that nothing holds; {health.COUNTED_RUNS} or more.", seen.due_runs),
        ("due_seconds", "gauge", "For which the first of them has been waiting.", seen.due_since),
        ("open_polls", "gauge", "Polls of agents that this server holds open.", seen.polls),
        ("clock_offset_seconds", "gauge", "This server's clock ahead of its database's.", seen.clock_offset),
        ("cpu_seconds_total", "counter", "CPU time of this server's process.", cpu.user + cpu.system),
        ("memory_bytes", "gauge", "Resident memory of this server's process.", resident),
    ):
        yield f"# HELP reeve_server_{name} {says}"
        yield f"# TYPE reeve_server_{name} {kind}"
        yield f"reeve_server_{name} {float(value):.12g}"
