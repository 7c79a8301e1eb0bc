"""The one table of errors: what status each has, and the body its reader expects.

A 2.20 client is told in 2.20's shapes (api-contract §1), whoever calls a path of reeve's own by Problem.
"""

from __future__ import annotations

import logging
from typing import Any

import msgspec

from reeve.core.sealing import HIDDEN, secret_names
from reeve.errors import (
    ConflictError,
    ForbiddenError,
    InvalidFieldsError,
    InvalidInputError,
    NotFoundError,
    ReeveError,
    ReservedError,
    UnauthorizedError,
    UnavailableError,
)
from reeve.server.http.body import InvalidRequestError, TooLongError
from reeve.server.http.reply import Reply, json
from reeve.server.services.graphs import GraphTooLargeError
from reeve.server.services.limits import LimitFullError
from reeve.server.services.work import BlankNameError
from reeve.wire import endpoints
from reeve.wire.endpoints import Endpoint
from reeve.wire.responses import Fault, Invalid, Missing, Problem, Refusal, Unavailable

log = logging.getLogger(__name__)

STATUS: dict[type[ReeveError], int] = {
    InvalidInputError: 422,
    BlankNameError: 400,
    GraphTooLargeError: 400,
    UnauthorizedError: 401,
    ForbiddenError: 403,
    NotFoundError: 404,
    ConflictError: 409,
    TooLongError: 413,
    LimitFullError: 423,
    UnavailableError: 503,
}

# Where the dialect has another status than the table: job variables of a run that is under way, a schema of
# another type.
EXCEPTIONS: dict[tuple[str, type[ReeveError]], int] = {
    (endpoints.update_flow_run.name, InvalidInputError): 400,
    (endpoints.update_block_document.name, InvalidInputError): 400,
}

# Where 2.20 finds out below its routes that an object is missing, and words it otherwise.
BELOW_THE_ROUTE = frozenset(
    endpoint.name
    for endpoint in (
        endpoints.set_flow_run_state,
        endpoints.set_task_run_state,
        endpoints.flow_run_dependencies,
        endpoints.flow_run_graph,
        endpoints.queue_runs,
        endpoints.work_queue_status,
    )
)


def reply(error: Exception, endpoint: Endpoint[Any, Any] | None, raw: bytes) -> Reply:
    """Return the answer that says ``error``; ``raw`` is the body that was sent."""
    status = _status(error, endpoint)
    if not isinstance(error, ReeveError) or status is None:
        log.error("%s failed", endpoint.name if endpoint else "a request", exc_info=error)
        return json(500, {"exception_message": "Internal Server Error"}, (b"connection", b"close"))
    if endpoint is not None and not endpoint.dialect:
        return json(status, _problem(error), *_headers(error))
    return json(status, _dialect(error, status, endpoint, raw), *_headers(error))


def _status(error: Exception, endpoint: Endpoint[Any, Any] | None) -> int | None:
    if isinstance(error, InvalidRequestError):
        return 422
    if isinstance(error, InvalidInputError) and (error.field or "").startswith("parameters."):
        return 409  # a value that does not fit the flow's parameters (api-contract §2)
    for kind in type(error).__mro__:
        if endpoint is not None and (endpoint.name, kind) in EXCEPTIONS:
            return EXCEPTIONS[endpoint.name, kind]
        if kind in STATUS:
            return STATUS[kind]
    return None


def _headers(error: ReeveError) -> tuple[tuple[bytes, bytes], ...]:
    match error:
        case LimitFullError():
            return ((b"retry-after", str(error.retry_after).encode()),)
        case UnavailableError():
            return ((b"retry-after", b"1"),)
        case TooLongError():
            return ((b"connection", b"close"),)  # the rest of it is not read
        case UnauthorizedError():
            return ((b"www-authenticate", b"Bearer"),)
    return ()


def _problem(error: ReeveError) -> Problem:
    field = error.field if isinstance(error, InvalidInputError) else None
    if isinstance(error, InvalidRequestError):
        field = ".".join(str(step) for step in error.faults[0].loc[1:]) or None
    return Problem(detail=error.message, code=error.code, field=field)


def _dialect(error: ReeveError, status: int, endpoint: Endpoint[Any, Any] | None, raw: bytes) -> Any:
    if isinstance(error, InvalidRequestError):
        return _invalid(error.faults, raw)
    if isinstance(error, InvalidInputError) and error.field is not None and status == 422:
        faults = error.faults if isinstance(error, InvalidFieldsError) else {error.field: error.message}
        return _invalid(tuple(_fault(*each) for each in faults.items()), raw)
    if isinstance(error, UnavailableError):
        return Unavailable("Service Unavailable", error.message)
    if isinstance(error, NotFoundError) and endpoint is not None and endpoint.name in BELOW_THE_ROUTE:
        return Missing(error.message)
    # Where 2.20 never answers so, the answer may carry a code.
    coded = isinstance(error, UnauthorizedError | ForbiddenError) and not isinstance(error, ReservedError)
    return Refusal(error.message, error.code if coded else None)


def _fault(field: str, message: str) -> Fault:
    return Fault(("body", *field.split(".")), message, "value_error")


def _invalid(faults: tuple[Fault, ...], raw: bytes) -> Invalid:
    return Invalid("Invalid request received.", faults, _echo(raw))


def _echo(raw: bytes) -> Any:
    """Return the body as the client may recognise it: JSON, or whatever it was."""
    if not raw:
        return None
    try:
        sent = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return raw.decode(errors="replace")
    secret = secret_names(sent.get("parameter_openapi_schema")) if isinstance(sent, dict) else None
    if secret and isinstance(given := sent.get("parameters"), dict):
        return {**sent, "parameters": {name: HIDDEN if name in secret else given[name] for name in given}}
    return msgspec.Raw(raw)
