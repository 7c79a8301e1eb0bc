"""Which failures are tried again, and after which delays."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from reeve import (
    EndRun,
    Failed,
    RunFailedError,
    RunInfo,
    State,
    Task,
    current_run,
    exponential_backoff,
    flow,
    task,
)
from reeve.errors import InvalidInputError

Declare = Callable[..., Any]


@pytest.mark.parametrize("declare", [task, flow])
def test_only_named_exceptions_are_tried_again(declare: Declare) -> None:
    tries = []

    def fetch() -> None:
        tries.append(1)
        raise ConnectionError("busy") if len(tries) == 1 else KeyError("gone")

    state = declare(retries=3, retry_on=(ConnectionError, TimeoutError))(fetch).run()
    assert (len(tries), state.name) == (2, "Failed")
    assert state.details.retriable is False
    with pytest.raises(KeyError):
        state.result()


@pytest.mark.parametrize("declare", [task, flow])
def test_a_value_that_is_not_accepted_is_tried_again(declare: Declare) -> None:
    values = iter([None, None, 7])

    def look() -> int | None:
        return next(values)

    assert declare(retries=3, retry_if=lambda state: state.is_completed and state.value is None)(look)() == 7


def test_a_value_that_is_never_accepted_fails_the_run() -> None:
    @task(retries=1, retry_if=lambda state: state.value == 5)
    def five() -> int:
        return 5

    state = five.run()
    assert (state.name, state.value) == ("Failed", 5)
    with pytest.raises(RunFailedError, match="a value that its retry condition does not accept"):
        state.result()


def test_any_of_two_conditions_is_enough() -> None:
    raised = iter([OSError("x"), EndRun(Failed("again")), ValueError("enough")])

    @task(retries=5, retry_on=OSError, retry_if=lambda state: state.message == "again")
    def tries() -> None:
        raise next(raised)

    with pytest.raises(ValueError, match="enough"):
        tries()


def test_the_condition_of_2_20_knows_task_run_and_state() -> None:
    asked: list[tuple[object, ...]] = []

    def condition(of: Task[Any, Any], run: RunInfo, state: State[Any]) -> bool:
        asked.append((of, run.task_name, run.try_number, state.name, current_run().id == run.id))
        return run.try_number < 2

    @task(retries=4, retry_condition_fn=condition)
    def fails() -> None:
        raise OSError("no")

    assert fails.run().name == "Failed"
    assert asked == [(fails, "fails", 1, "Failed", True), (fails, "fails", 2, "Failed", True)]


def test_a_condition_that_raises_grants_nothing(caplog: pytest.LogCaptureFixture) -> None:
    @task(retries=4, retry_if=lambda _: bool(1 / 0))
    def fails() -> None:
        raise OSError("no")

    with pytest.raises(OSError, match="no"):
        fails()
    assert caplog.text.count("The retry condition raised: no retry.") == 1
    assert "ZeroDivisionError" in caplog.text

    @task(retries=4, retry_if=lambda _: bool(1 / 0))
    def works() -> int:
        return 1

    assert works() == 1


def test_conditions_of_async_tasks() -> None:
    values = iter([0, 1])

    @task(retries=1, retry_if=lambda state: state.value == 0)
    async def later() -> int:
        await asyncio.sleep(0)
        return next(values)

    assert asyncio.run(later()) == 1


def test_delays_may_be_made_from_the_number_of_retries() -> None:
    @task(retries=3, retry_delay_seconds=exponential_backoff(0.5))
    def fails() -> None: ...

    assert fails.policy.retry_delay == [1, 1, 2]  # whole seconds
    assert exponential_backoff(2)(4) == [2, 4, 8, 16]
    assert len(exponential_backoff(2)(1000)) == 50


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({"retry_on": OSError}, "retry_on needs retries of 1 or more"),
        ({"retry_if": bool}, "retry_if needs retries of 1 or more"),
        ({"retries": 1, "retry_on": "OSError"}, "retry_on must be an exception class or a tuple of them"),
        ({"retries": 1, "retry_on": (OSError, 5)}, "retry_on must be an exception class or a tuple of them"),
        ({"retries": 1, "retry_if": 5}, "retry_if must be a plain function"),
        ({"retries": 60, "retry_delay_seconds": [1] * 51}, "retry_delay_seconds has at most 50 entries"),
        ({"retry_jitter_factor": -1}, "retry_jitter_factor must be 0 or more"),
    ],
)
def test_conditions_are_checked_where_they_are_written(options: dict[str, Any], names: str) -> None:
    with pytest.raises(InvalidInputError, match=names):
        task(name="t", **options)(print)
