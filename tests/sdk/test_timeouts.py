"""Timeouts stop code that does not cooperate."""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from collections.abc import Callable
from functools import partial

import pytest

from reeve import RunTimedOutError, State, flow, task
from reeve.sdk.engine.outcomes import Returned, TimedOut
from reeve.sdk.engine.timeouts import Overdue, call_within


def spin() -> None:
    """Never return, and take no Exception for an answer."""
    while True:
        try:
            while True:
                pass
        except Exception:  # noqa: BLE001
            pass


def in_thread(call: Callable[[], object]) -> object:
    """Call in a thread that is not the main one."""
    result: list[object] = []
    thread = threading.Thread(target=lambda: result.append(call()))
    thread.start()
    thread.join(20)
    assert result, "it never ended"
    return result[0]


def test_a_busy_flow_is_stopped() -> None:
    cleaned = []

    @flow(timeout_seconds=0.1)
    def busy() -> None:
        try:
            spin()
        finally:
            cleaned.append(1)

    state = busy.run()
    assert (state.name, state.message) == ("TimedOut", "Flow run exceeded timeout of 0.1 second(s)")
    assert cleaned == [1]
    with pytest.raises(RunTimedOutError):
        busy()


def test_a_sleeping_flow_is_stopped() -> None:
    @flow(timeout_seconds=0.1)
    def sleeps() -> None:
        time.sleep(60)

    before = time.monotonic()
    assert sleeps.run().name == "TimedOut"
    assert time.monotonic() - before < 10


def test_a_busy_task_is_stopped_on_its_thread() -> None:
    @task(timeout_seconds=0.1)
    def busy() -> None:
        spin()

    @flow
    def submits() -> State[None] | None:
        return busy.submit().wait()

    state = submits.run()
    assert (state.name, state.message) == ("TimedOut", "Task run exceeded timeout of 0.1 second(s)")


def test_a_timed_out_task_is_an_error_the_flow_can_handle() -> None:
    @task(timeout_seconds=0.05)
    def busy() -> None:
        spin()

    @flow(timeout_seconds=20)
    def handles() -> str:
        try:
            busy()
        except TimeoutError:
            return "handled"
        return "not stopped"

    assert handles() == "handled"
    assert in_thread(handles) == "handled"


def test_a_flow_that_times_out_stops_the_tasks_on_its_threads() -> None:
    stopped = []

    @task
    def busy() -> None:
        try:
            spin()
        finally:
            stopped.append(1)

    @flow(timeout_seconds=0.2)
    def submits() -> None:
        busy.submit().result()

    assert submits.run().name == "TimedOut"
    assert stopped == [1]


def test_the_nearer_deadline_strikes_and_the_farther_one_stays() -> None:
    @task(timeout_seconds=60)
    def patient() -> None:
        spin()

    @flow(timeout_seconds=0.1)
    def outer() -> None:
        patient()

    assert outer.run().name == "TimedOut"
    assert in_thread(outer.run).name == "TimedOut"  # type: ignore[attr-defined]

    @task(timeout_seconds=0.05)
    def quick() -> None:
        spin()

    @flow(timeout_seconds=0.3)
    def survives_one() -> None:
        quick.run()
        spin()

    assert survives_one.run().name == "TimedOut"


def test_an_async_flow_is_stopped_where_it_waits() -> None:
    @flow(timeout_seconds=0.05)
    async def waits() -> None:
        await asyncio.sleep(60)

    assert asyncio.run(waits.run()).name == "TimedOut"


def test_a_timeout_error_of_the_flows_own_is_no_timeout() -> None:
    @flow(timeout_seconds=60)
    async def raises() -> None:
        raise TimeoutError("the database")

    assert asyncio.run(raises.run()).name == "Failed"


def test_a_timed_out_flow_is_tried_again() -> None:
    tries = []

    @flow(timeout_seconds=0.1, retries=1)
    def second_time() -> str:
        tries.append(1)
        if len(tries) == 1:
            spin()
        return "done"

    assert second_time() == "done"


@pytest.mark.parametrize("where", [lambda call: call(), in_thread])
def test_swallowing_the_interrupt_does_not_save_the_run(
    where: Callable[[Callable[[], object]], object],
) -> None:
    def stubborn() -> str:
        try:
            while True:
                pass
        except BaseException:  # noqa: BLE001
            return "made it"

    assert where(lambda: call_within(0.05, stubborn)) == TimedOut(0.05)


@pytest.mark.parametrize("where", [lambda call: call(), in_thread])
def test_nothing_strikes_after_the_call(where: Callable[[Callable[[], object]], object]) -> None:
    def race(lasts: float) -> None:
        until = time.monotonic() + lasts
        while time.monotonic() < until:
            pass

    def many() -> set[type]:
        # Most end around the deadline, sometimes before and sometimes after it; some cannot but miss it.
        kinds = {type(call_within(0.001, partial(race, 60 if n % 100 == 0 else 0.001))) for n in range(300)}
        for _ in range(1000):
            time.monotonic()
        return kinds

    kinds = where(many)
    assert isinstance(kinds, set)
    assert kinds <= {Returned, TimedOut}
    assert TimedOut in kinds


def test_the_process_gets_its_alarm_back() -> None:
    heard = []
    before = signal.signal(signal.SIGALRM, lambda *_: heard.append(1))
    try:
        assert call_within(60, lambda: 1) == Returned(1)
        assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)
        signal.raise_signal(signal.SIGALRM)
        assert heard == [1]
    finally:
        signal.signal(signal.SIGALRM, before)


def test_errors_pass_through() -> None:
    with pytest.raises(ZeroDivisionError):
        call_within(60, lambda: 1 / 0)
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)


def test_an_overdue_outer_call_ends_the_inner_one_too() -> None:
    def inner() -> object:
        return call_within(60, spin)

    assert call_within(0.05, inner) == TimedOut(0.05)
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)
    assert issubclass(Overdue, BaseException)
    assert not issubclass(Overdue, Exception)
