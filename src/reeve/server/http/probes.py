"""``/livez``, ``/readyz`` and ``/metrics``, beside the API: for what restarts, routes to or watches it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from reeve.errors import UnavailableError
from reeve.server.http.reply import TEXT, Reply
from reeve.server.services import health
from reeve.server.services.context import Context
from reeve.wire.endpoints import Door

Probe = Callable[[Context], Awaitable[Reply]]

METRICS = b"text/plain; version=0.0.4"


async def livez(_: Context) -> Reply:
    """Whether the process answers at all."""
    return Reply(200, b"ok\n", media=TEXT)


async def readyz(ctx: Context) -> Reply:
    """Whether the database answers. A clock that is wrong is told; the server serves all the same."""
    try:
        offset = await health.clock_offset(ctx)
    except UnavailableError as error:
        return Reply(503, f"{error.message}\n".encode(), media=TEXT)
    if ctx.stopping.is_set():
        return Reply(503, b"This server is stopping.\n", media=TEXT)
    return Reply(200, f"{health.clock_warning(offset) or 'ok'}\n".encode(), media=TEXT)


async def metrics(ctx: Context) -> Reply:
    """Write the figures of the moment."""
    try:
        seen = await health.figures(ctx)
    except UnavailableError as error:
        return Reply(503, f"{error.message}\n".encode(), media=TEXT)
    return Reply(200, "\n".join([*health.metrics(seen), ""]).encode(), media=METRICS)


# What tells nothing of the runs is for anyone: probes have no keys.
PROBES: dict[str, tuple[Door, Probe]] = {
    "/livez": (Door.ANYONE, livez),
    "/readyz": (Door.ANYONE, readyz),
    "/metrics": (Door.OPERATOR, metrics),
}
