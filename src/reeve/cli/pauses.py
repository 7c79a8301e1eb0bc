"""Let paused runs go on, with what they wait for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from reeve.cli.secrets import read_parameters
from reeve.client.sync import Client
from reeve.core.parameters import check_parameters
from reeve.errors import ConflictError, NotFoundError
from reeve.wire import codec, endpoints, requests
from reeve.wire.responses import FlowRunResponse, State


def resume(client: Client, run: FlowRunResponse, pairs: Sequence[tuple[str, str]]) -> State:
    """Resume a run and return its state; ``pairs``: the names and texts of what it waits for.

    ConflictError for a run that is not paused, InvalidInputError for an input that it could not read.
    """
    schema = _schema(client, run) or {}
    given = read_parameters(schema, pairs) or None
    if schema:
        check_parameters(schema, given or {})
    verdict = client.call(endpoints.resume_flow_run, requests.Resume(run_input=given), id=run.id)
    if verdict.status == "ACCEPT" and verdict.state is not None:
        return verdict.state
    reason = verdict.details.get("reason") or f"it is {run.state_name}"
    raise ConflictError(f"{run.name} ({run.id}) cannot be resumed: {reason}")


def _schema(client: Client, run: FlowRunResponse) -> dict[str, Any] | None:
    """Return what a run waits for; a 2.20 client may leave it a moment after it has paused."""
    keyset = run.state.state_details.run_input_keyset if run.state else None
    if keyset is None:
        return None
    try:
        text = client.call(endpoints.read_input, id=run.id, key=keyset["schema"])
    except (NotFoundError, KeyError):
        return None
    return codec.decode(text, dict[str, Any])
