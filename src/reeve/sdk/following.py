"""Waiting for where a run gets to: the server holds each question until there is news."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any
from uuid import UUID

from reeve.core.states import StateDetails, propose
from reeve.sdk.asking import Question, ask
from reeve.sdk.states import State
from reeve.wire import codec, endpoints, requests, responses

_HOLD_SECONDS = 20.0  # how long the server keeps a question open
_ANSWER_SECONDS = 10.0  # on top of it, until the server counts as silent
_NO_LOGS = 2**62  # a cursor behind all lines: states are what is waited for


def until(
    run_id: UUID, reached: Callable[[responses.FlowRunResponse], bool], timeout: float | None
) -> Question[responses.FlowRunResponse]:
    """Wait until a run is where it should be, or ``timeout`` seconds are over; return it as it is then."""
    ends = None if timeout is None else time.monotonic() + timeout
    cursor, hold = 0, 0.0
    while True:
        news = yield from ask(
            endpoints.follow_flow_run,
            requests.Follow(state_cursor=cursor, log_cursor=_NO_LOGS, hold_seconds=hold),
            timeout=hold + _ANSWER_SECONDS,
            patient=True,
            id=run_id,
        )
        left = _HOLD_SECONDS if ends is None else ends - time.monotonic()
        if reached(news.run) or left <= 0:
            return news.run
        cursor, hold = news.state_cursor, min(left, _HOLD_SECONDS)


def state_of(run: responses.FlowRunResponse) -> State[Any]:
    """Return where a run of another process is; its value stays there."""
    state = run.state
    assert state is not None, "a run that was asked for has a state"
    due = state.state_details.scheduled_time
    details = StateDetails(flow_run_id=run.id, scheduled_time=codec.parse(due) if due else None)
    return State(
        propose(state.type, name=state.name, message=state.message, data=state.data, details=details)
    )
