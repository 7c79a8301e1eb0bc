"""When a call is repeated, and after how long: the script played by hand."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reeve.client import retry
from reeve.client.calls import Reply, Request, ServerUnreachableError, address
from reeve.client.retry import CAP_ASKED_SECONDS, CAP_SECONDS, Outcome, Wait, delay
from reeve.errors import NotFoundError, ReeveError, UnavailableError
from reeve.wire import endpoints

DOWN = ServerUnreachableError.at("http://h/api", "refused")
YES = Reply(200, b"true")
DICE = st.floats(0, 1, exclude_max=True)


class Played:
    """A call performed with chosen outcomes, on a clock that only its waits move."""

    def __init__(self, patience: float | None, outcomes: Iterator[Outcome], *, each_takes: float = 0) -> None:
        self.now = 1000.0
        self.sent = 0
        self.waits: list[Wait] = []
        self.answer: bool | None = None
        self.error: ReeveError | None = None
        self._play(patience, outcomes, each_takes)

    def _play(self, patience: float | None, outcomes: Iterator[Outcome], each_takes: float) -> None:
        script = retry.converse(
            endpoints.health,
            Request("GET", "/health", None, None, 60, address("http://h/api")),
            patience=patience,
            clock=lambda: self.now,
            dice=lambda: 0.5,
        )
        effect = next(script)
        try:
            while True:
                if isinstance(effect, Request):
                    self.sent += 1
                    self.now += each_takes
                    effect = script.send(next(outcomes))
                else:
                    self.waits.append(effect)
                    self.now += effect.seconds
                    effect = script.send(None)
        except StopIteration as end:
            self.answer = end.value
        except ReeveError as error:
            self.error = error


def forever(outcome: Outcome) -> Iterator[Outcome]:
    while True:
        yield outcome


@pytest.mark.parametrize("status", [408, 429, 502, 503, 504])
def test_a_busy_server_is_asked_again(status: int) -> None:
    played = Played(30, iter([Reply(status, b""), Reply(status, b""), YES]))
    assert played.answer is True
    assert played.sent == 3


def test_a_server_that_is_gone_is_asked_again() -> None:
    played = Played(30, iter([DOWN, YES]))
    assert played.answer is True
    assert played.waits[0].error is DOWN


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 422, 423, 500])
def test_a_refusal_is_not_repeated(status: int) -> None:
    played = Played(None, iter([Reply(status, b"{}")]))
    assert played.sent == 1
    assert played.error is not None


def test_a_refusal_after_a_fault_ends_it() -> None:
    played = Played(None, iter([DOWN, Reply(404, b'{"detail":"Gone"}')]))
    assert isinstance(played.error, NotFoundError)


def test_without_patience_the_first_fault_is_the_last() -> None:
    played = Played(0, forever(DOWN))
    assert (played.sent, played.error) == (1, DOWN)


@given(st.floats(0.001, 100))
def test_patience_ends(patience: float) -> None:
    played = Played(patience, forever(DOWN))
    assert played.error is DOWN
    assert played.sent > 1
    assert patience <= played.now - 1000 < patience + CAP_SECONDS


def test_patience_counts_from_the_first_fault_not_from_the_call() -> None:
    assert Played(1, iter([DOWN, YES]), each_takes=25).answer is True, "a long poll may be broken at its end"


def test_no_patience_without_end() -> None:
    outcomes = iter([DOWN] * 500 + [YES])
    assert Played(None, outcomes).answer is True


def test_the_last_error_is_the_one_that_is_told() -> None:
    played = Played(0.01, iter([DOWN, Reply(503, b'{"detail":"Busy."}')]))
    assert isinstance(played.error, UnavailableError)
    assert played.error.message == "Busy."


def test_the_server_sets_the_pace() -> None:
    played = Played(60, iter([Reply(503, b"", retry_after="7"), YES]))
    assert 7 <= played.waits[0].seconds <= 8.75


@given(st.integers(0, 10_000), st.none() | st.floats(0, 1e9), DICE)
def test_a_delay_is_bounded(attempt: int, asked: float | None, dice: float) -> None:
    waited = delay(attempt, asked, dice)
    assert 0 <= waited <= (CAP_SECONDS if asked is None else CAP_ASKED_SECONDS * 1.25)


@given(st.floats(0, CAP_ASKED_SECONDS), DICE)
def test_a_delay_is_at_least_what_was_asked(asked: float, dice: float) -> None:
    assert delay(0, asked, dice) >= asked


@given(st.integers(0, 50), DICE)
def test_delays_grow_with_each_fault(attempt: int, dice: float) -> None:
    now, next_ = delay(attempt, None, dice), delay(attempt + 1, None, dice)
    assert now < next_ or next_ >= CAP_SECONDS / 2


def test_the_waits_of_a_call_are_those_delays() -> None:
    waited = [wait.seconds for wait in Played(None, iter([DOWN] * 8 + [YES])).waits]
    assert waited == [delay(attempt, None, 0.5) for attempt in range(8)]
    assert waited[-1] > 10 * waited[0]


@given(st.integers(0, 50))
def test_chance_spreads_those_who_wait(attempt: int) -> None:
    assert delay(attempt, None, 0.99) > 1.5 * delay(attempt, None, 0)
