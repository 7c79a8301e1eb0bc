"""The server itself: its versions, whether it is ready, and its reset."""

from __future__ import annotations

from importlib.metadata import version as version_of
from typing import Any

from reeve.errors import ForbiddenError
from reeve.server.services.blocks import install_system_types
from reeve.server.services.context import Context
from reeve.server.storage import admin
from reeve.wire.queries import MAX_LIMIT
from reeve.wire.responses import ServerInfo

API_VERSION = "0.8.4"
DIALECT_VERSION = "2.20.26"  # of the server whose contract is kept
# What reeve does, in 2.20's names; what an operator can set comes with the context.
FIXED_SETTINGS: dict[str, Any] = {
    "PREFECT_API_DEFAULT_LIMIT": MAX_LIMIT,
    "PREFECT_EXPERIMENTAL_EVENTS": False,
    "PREFECT_SERVER_ANALYTICS_ENABLED": False,
    "PREFECT_SERVER_CSRF_PROTECTION_ENABLED": False,
}


async def ready(ctx: Context) -> None:
    """Return when the database answers; raises UnavailableError when it does not."""
    await ctx.store.read(admin.ask)


async def clear(ctx: Context) -> None:
    """Empty the database; raises ForbiddenError unless the server was started to allow that."""
    _check_reset(ctx)
    await ctx.store.write(admin.clear)


async def create(ctx: Context) -> None:
    """Make what a new database has; its tables are always there. Raises ForbiddenError as ``clear`` does."""
    _check_reset(ctx)
    await install_system_types(ctx.store)


def settings(ctx: Context) -> dict[str, Any]:
    """Say the settings in force, as far as 2.20 has a name for them; no keys."""
    return {**FIXED_SETTINGS, **ctx.settings}


def info(ctx: Context) -> ServerInfo:
    """Say who answers."""
    return ServerInfo(
        name="reeve", version=version_of("reeve"), api_version=API_VERSION, database=ctx.store.name
    )


def _check_reset(ctx: Context) -> None:
    if not ctx.allow_reset:
        raise ForbiddenError(
            "This server does not empty its database. Start it with --allow-reset if it is one for tests."
        )
