"""Operations on the service itself."""

from __future__ import annotations

from typing import Any

from reeve.wire import requests, responses
from reeve.wire.endpoints.table import RUN, Door, Endpoint

health: Endpoint[None, bool] = Endpoint(
    "health", "GET", "/health", None, bool, door=Door.ANYONE, dialect=False
)
version: Endpoint[None, str] = Endpoint(
    "version", "GET", "/version", None, str, door=Door.ANYONE, dialect=False
)
ready: Endpoint[None, dict[str, str]] = Endpoint(
    "ready", "GET", "/ready", None, dict[str, str], door=Door.ANYONE, dialect=False
)
hello: Endpoint[None, str] = Endpoint("hello", "GET", "/hello", None, str, door=Door.ANYONE)
admin_version: Endpoint[None, str] = Endpoint(
    "admin_version", "GET", "/admin/version", None, str, door=Door.ANYONE
)
clear_database: Endpoint[requests.Confirmation, None] = Endpoint(
    "clear_database", "POST", "/admin/database/clear", requests.Confirmation, None, 204, body_optional=True
)
create_database: Endpoint[requests.Confirmation, None] = Endpoint(
    "create_database", "POST", "/admin/database/create", requests.Confirmation, None, 204, body_optional=True
)
drop_database: Endpoint[requests.Confirmation, None] = Endpoint(
    "drop_database", "POST", "/admin/database/drop", requests.Confirmation, None, 204, body_optional=True
)
admin_settings: Endpoint[None, dict[str, Any]] = Endpoint(
    "admin_settings", "GET", "/admin/settings", None, dict[str, Any]
)
validate_template: Endpoint[str | None, dict[str, Any] | None] = Endpoint(
    "validate_template",
    "POST",
    "/templates/validate",
    str | None,
    dict[str, Any] | None,
    204,
    body_optional=True,
)
csrf_token: Endpoint[None, dict[str, Any]] = Endpoint(
    "csrf_token", "GET", "/csrf-token", None, dict[str, Any], query=("client",), door=RUN
)
server_info: Endpoint[None, responses.ServerInfo] = Endpoint(
    "server_info", "GET", "/reeve", None, responses.ServerInfo, door=Door.ANYONE, dialect=False
)
