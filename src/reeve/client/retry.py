"""When a call is repeated, and after how long. No I/O; the clock and the dice are arguments.

Every call is repeated, writes too: the API is made for it by idempotency keys, transition ids and
sequence numbers (protocol §7, api-contract §1). Who calls a write that has such a key sends one.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from itertools import count
from typing import TYPE_CHECKING, TypeVar

from msgspec import Struct

from reeve.client import calls
from reeve.client.calls import Reply, Request
from reeve.errors import ReeveError

if TYPE_CHECKING:
    from reeve.wire.endpoints import Endpoint

Req = TypeVar("Req")
Res = TypeVar("Res")

FIRST_SECONDS = 0.1  # a server that restarts, or commits, is back soon
CAP_SECONDS = (
    4.0  # a server that returns is found within 5 s; a thousand agents ask for it 300 times a second
)
CAP_ASKED_SECONDS = 60.0  # a Retry-After above it is a mistake, or a trick
DOUBLINGS = 10  # 2^10 is far above the cap; beyond it the power only grows


class Wait(Struct, frozen=True):
    """An effect: sleep ``seconds``, because of ``error``, before the request is repeated."""

    error: ReeveError
    seconds: float


Effect = Request | Wait
Outcome = Reply | ReeveError | None
Script = Generator[Effect, Outcome, Res]


def delay(attempt: int, asked: float | None, dice: float) -> float:
    """Return the seconds to wait after the ``attempt``-th fault, counted from 0.

    ``asked``: what the server wants at least; ``dice``: chance in [0, 1), so that not all come back at once.
    """
    if asked is not None:
        return min(asked, CAP_ASKED_SECONDS) * (1 + dice / 4)
    return min(FIRST_SECONDS * 2.0 ** min(attempt, DOUBLINGS), CAP_SECONDS) * (0.5 + dice / 2)


def converse(
    endpoint: Endpoint[Req, Res],
    request: Request,
    *,
    patience: float | None,
    clock: Callable[[], float],
    dice: Callable[[], float],
    outcome: Outcome = None,
) -> Script[Res]:
    """Yield the request of one call, and the waits between its repetitions; return its answer.

    ``patience``: seconds after its first fault in which it is repeated; None repeats for ever. ``outcome``:
    what has come of the request already, if it was sent before. The shell sends back a Reply, or the
    ReeveError that a fault of the network stands for; None after a Wait.
    """
    given_up_at: float | None = None
    for attempt in count():
        if outcome is None:
            outcome = yield request
        if isinstance(outcome, Reply) and outcome.status not in calls.RETRIED:
            return calls.interpret(endpoint, request, outcome)
        error = _error(request, outcome)
        if patience is not None:
            given_up_at = clock() + patience if given_up_at is None else given_up_at
            if clock() >= given_up_at:
                raise error
        asked = calls.retry_after(outcome) if isinstance(outcome, Reply) else None
        outcome = yield Wait(error, delay(attempt, asked, dice()))
    raise AssertionError  # count() has no end


def _error(request: Request, outcome: Outcome) -> ReeveError:
    if isinstance(outcome, Reply):
        return calls.problem(request, outcome)
    assert outcome is not None, "a request is answered with a reply or an error"
    return outcome
