"""The server itself: whether it lives, its versions, its reset."""

from __future__ import annotations

from typing import Any

from reeve.errors import InvalidInputError, UnavailableError
from reeve.server.http.request import Answer, Request, serves
from reeve.server.services import admin
from reeve.wire import endpoints, responses


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


@serves(endpoints.clear_database)
async def clear_database(request: Request[dict[str, Any]]) -> Answer[None] | None:
    if request.body.get("confirm") is not True and request.context.allow_reset:
        return Answer(None, 400)
    await admin.clear(request.context)
    return None
