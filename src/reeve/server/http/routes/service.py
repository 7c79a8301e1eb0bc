"""The server itself: whether it lives, its versions, its reset."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from reeve.core import templates
from reeve.errors import InvalidInputError, UnavailableError
from reeve.server.http.request import Answer, Request, serves
from reeve.server.services import admin
from reeve.server.services.context import Context
from reeve.wire import endpoints, requests, responses


@serves(endpoints.health)
async def health(_request: Request[None]) -> bool:
    return True


@serves(endpoints.version)
async def version(_request: Request[None]) -> str:
    return admin.API_VERSION


@serves(endpoints.admin_version)
async def admin_version(_request: Request[None]) -> str:
    return admin.DIALECT_VERSION


@serves(endpoints.hello)
async def hello(_request: Request[None]) -> str:
    return "👋"


@serves(endpoints.ready)
async def ready(request: Request[None]) -> dict[str, str] | Answer[dict[str, str]]:
    try:
        await admin.ready(request.context)
    except UnavailableError as error:
        return Answer({"message": error.message}, 503)
    return {"message": "OK"}


@serves(endpoints.server_info)
async def server_info(request: Request[None]) -> responses.ServerInfo:
    return admin.info(request.context)


@serves(endpoints.csrf_token)
async def csrf_token(_request: Request[None]) -> dict[str, Any]:
    # A browser has no key of ours, and its Origin is checked. 2.20 clients go on without a token if they
    # read these words (api-contract §1).
    raise InvalidInputError("CSRF protection is disabled.")


@serves(endpoints.admin_settings)
async def admin_settings(request: Request[None]) -> dict[str, Any]:
    return admin.settings(request.context)


@serves(endpoints.clear_database)
async def clear_database(request: Request[requests.Confirmation]) -> Answer[None] | None:
    return await _reset(request, admin.clear)


@serves(endpoints.drop_database)
async def drop_database(request: Request[requests.Confirmation]) -> Answer[None] | None:
    return await _reset(request, admin.clear)  # a server without tables could not even say so


@serves(endpoints.create_database)
async def create_database(request: Request[requests.Confirmation]) -> Answer[None] | None:
    return await _reset(request, admin.create)


@serves(endpoints.validate_template)
async def validate_template(
    request: Request[str | None],
) -> Answer[dict[str, Any] | None] | None:
    template = request.body or ""
    found = templates.flaw(template)
    if found is None:
        return None
    return Answer({"error": {"line": found.line, "message": found.message, "source": template}}, 422)


async def _reset(
    request: Request[requests.Confirmation], reset: Callable[[Context], Awaitable[None]]
) -> Answer[None] | None:
    """Do what cannot be undone, if the body confirms it."""
    if not request.body.confirm and request.context.allow_reset:
        return Answer(None, 400)
    await reset(request.context)
    return None
