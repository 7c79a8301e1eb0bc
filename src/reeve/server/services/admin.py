"""The server itself: its versions, whether it is ready, and its reset."""

from __future__ import annotations

from importlib.metadata import version as version_of

from reeve.errors import ForbiddenError
from reeve.server.services.context import Context
from reeve.server.storage import admin
from reeve.wire.responses import ServerInfo

API_VERSION = "0.8.4"
DIALECT_VERSION = "2.20.26"  # of the server whose contract is kept


async def ready(ctx: Context) -> None:
    """Return when the database answers; raises UnavailableError when it does not."""
    await ctx.store.read(admin.ask)


async def clear(ctx: Context) -> None:
    """Empty the database; raises ForbiddenError unless the server was started to allow that."""
    if not ctx.allow_reset:
        raise ForbiddenError(
            "This server does not empty its database. Start it with --allow-reset if it is one for tests."
        )
    await ctx.store.write(admin.clear)


def info(ctx: Context) -> ServerInfo:
    """Say who answers."""
    return ServerInfo(
        name="reeve", version=version_of("reeve"), api_version=API_VERSION, database=ctx.store.name
    )
