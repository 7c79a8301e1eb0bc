"""Flows as plain Python: no server, and still retries, states and logs."""
# ruff: noqa: T201 - what a run prints is under test

from __future__ import annotations

import asyncio
import io
import logging
import traceback

import pytest

from reeve import (
    Completed,
    EndRun,
    Failed,
    RunFailedError,
    RunInfo,
    State,
    current_run,
    flow,
    get_run_logger,
    task,
)
from reeve.core.states import StateType
from reeve.errors import InvalidInputError
from reeve.sdk.context import NoActiveRunError, current_scope


def test_a_flow_is_called_like_the_function_it_was() -> None:
    @flow
    def add(a: int, b: int = 1) -> int:
        """Add."""
        return a + b

    assert add(1) == 2
    assert add(1, b=2) == 3
    assert add.name == "add"
    assert add.description == "Add."


def test_a_flow_raises_what_its_function_raised() -> None:
    error = ValueError("no rows")

    @flow
    def fails() -> None:
        raise error

    with pytest.raises(ValueError) as caught:
        fails()
    assert caught.value is error
    state = fails.run()
    assert (state.type, state.message) == (
        StateType.FAILED,
        "Flow run encountered an exception: ValueError: no rows",
    )
    assert state.error is error


def test_an_async_flow_is_awaited() -> None:
    @flow
    async def double(x: int) -> int:
        await asyncio.sleep(0)
        return 2 * x

    assert asyncio.run(double(4)) == 8
    state: State[int] = asyncio.run(double.run(4))
    assert state.result() == 8


@pytest.mark.parametrize(("retries", "completes"), [(2, True), (1, False)])
def test_a_failed_flow_is_tried_again(retries: int, completes: bool) -> None:
    tries = []

    @flow(retries=retries, retry_delay_seconds=0)
    def flaky() -> str:
        tries.append(current_run().try_number)
        if len(tries) < 3:
            raise OSError("not yet")
        return "done"

    state = flaky.run()
    assert tries == list(range(1, retries + 2))
    assert state.is_completed == completes
    assert state.value == ("done" if completes else None)


def test_an_async_flow_is_tried_again() -> None:
    tries = []

    @flow(retries=1)
    async def flaky() -> int:
        tries.append(1)
        if len(tries) == 1:
            raise OSError("not yet")
        return len(tries)

    assert asyncio.run(flaky()) == 2


def test_a_returned_state_is_the_runs_own() -> None:
    @flow
    def ends(good: bool) -> object:
        return Completed("nothing to do", name="Skipped") if good else Failed("no rows")

    done, failed = ends.run(True), ends.run(False)
    assert (done.name, done.message, done.is_completed) == ("Skipped", "nothing to do", True)
    assert (failed.name, failed.message) == ("Failed", "no rows")
    with pytest.raises(RunFailedError, match="no rows"):
        ends(False)


def test_a_run_can_be_ended_from_any_depth() -> None:
    def deep() -> None:
        raise EndRun(Completed("enough", value=7))

    @flow
    def early() -> int:
        deep()
        return 1

    assert early() == 7


def test_a_flow_fails_with_a_returned_task() -> None:
    @task
    def maybe(x: int) -> int:
        if x == 1:
            raise ValueError("one is unlucky")
        return x

    @flow
    def many() -> object:
        return maybe.map([0, 1, 2])

    @flow
    def one() -> object:
        return maybe.submit(1)

    @flow
    def unasked() -> str:
        maybe.submit(1)
        return "fine"

    assert many.run().message == "1/3 states failed."
    assert one.run().message == "Task run encountered an exception: ValueError: one is unlucky"
    assert unasked() == "fine"
    with pytest.raises(ValueError, match="unlucky"):
        many()


def test_results_take_the_place_of_returned_futures() -> None:
    @task
    def double(x: int) -> int:
        return 2 * x

    @flow
    def collects() -> object:
        return {"a": double.submit(1), "rest": [double.submit(2), (double.submit(3), 0)]}

    assert collects() == {"a": 2, "rest": [4, (6, 0)]}


def test_a_subflow_is_a_run_of_its_own() -> None:
    seen = []

    @flow
    def inner(x: int) -> int:
        seen.append(current_run())
        return x + 1

    @flow
    def outer() -> int:
        seen.append(current_run())
        return inner(inner(1))

    assert outer() == 3
    assert [run.flow_name for run in seen] == ["outer", "inner", "inner"]
    assert len({run.id for run in seen}) == 3
    assert current_scope() is None


def test_the_run_is_known_to_its_code() -> None:
    @task(tags=["heavy", "db"])
    def inspect(day: str) -> RunInfo:
        assert day == "monday"
        return current_run()

    @flow(name="nightly")
    def around() -> tuple[RunInfo, RunInfo]:
        return current_run(), inspect("monday")

    flow_run, task_run = around()
    assert flow_run.flow_name == "nightly"
    assert flow_run.flow_run_id == flow_run.id
    assert (task_run.task_name, task_run.name) == ("inspect", "inspect-0")
    assert task_run.flow_run_id == flow_run.id
    assert dict(task_run.parameters) == {"day": "monday"}
    assert task_run.tags == ("db", "heavy")
    assert (task_run.attempt, task_run.try_number) == (1, 1)


def test_outside_of_a_run_there_is_none() -> None:
    for ask in (current_run, get_run_logger):
        with pytest.raises(NoActiveRunError, match="inside a flow or a task"):
            ask()


def test_logs_carry_their_run(caplog: pytest.LogCaptureFixture) -> None:
    @flow(log_prints=True)
    def talks() -> None:
        print("printed", 1, sep="-")
        get_run_logger().warning("%s said", "logger", extra={"more": 1})

    with caplog.at_level(logging.INFO, "reeve"):
        talks()
    printed, logged = caplog.records
    assert [printed.message, logged.message] == ["printed-1", "logger said"]
    assert logged.__dict__["more"] == 1
    assert printed.__dict__["flow_run_id"] == logged.__dict__["flow_run_id"]
    assert printed.name == "reeve.flow_runs"


def test_prints_are_captured_only_where_it_was_asked_for(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    file = io.StringIO()

    @task
    def inherits() -> None:
        print("task of a flow that logs")

    @task(log_prints=False)
    def refuses() -> None:
        print("task that prints")

    @flow(log_prints=True)
    def logs() -> None:
        inherits()
        refuses()
        print("to a file", file=file)

    @flow
    def prints() -> None:
        print("flow that prints")

    with caplog.at_level(logging.INFO, "reeve"):
        logs()
    prints()
    print("outside")
    assert [record.message for record in caplog.records] == ["task of a flow that logs"]
    assert file.getvalue() == "to a file\n"
    assert capsys.readouterr().out == "task that prints\nflow that prints\noutside\n"


def test_a_failure_is_logged_with_the_users_lines_alone(caplog: pytest.LogCaptureFixture) -> None:
    @task
    def breaks() -> None:
        raise ValueError("broken")

    @flow
    def calls() -> None:
        breaks()

    with caplog.at_level(logging.ERROR, "reeve"):
        calls.run()
    told = caplog.records[-1].getMessage()
    assert "in calls" in told
    assert "in breaks" in told
    assert "/reeve/sdk/" not in told
    assert told.splitlines()[2].strip().startswith(f'File "{__file__}"')


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({"name": "a/b"}, "/ % & > <"),
        ({"name": ""}, "must not be empty"),
        ({"retries": -1}, "retries must be 0 or more, got -1"),
        ({"timeout_seconds": 0}, "timeout_seconds must be more than 0, got 0"),
        ({"retry_delay_seconds": -1}, "retry_delay_seconds must not be negative, got -1"),
        ({"max_workers": 0}, "max_workers must be 1 or more, got 0"),
    ],
)
def test_options_are_checked_where_they_are_written(options: dict[str, object], names: str) -> None:
    def function() -> None: ...

    with pytest.raises(InvalidInputError, match=names):
        flow(**options)(function)  # type: ignore[call-overload]


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_passes_through_flows_and_tasks(interrupt: type[BaseException]) -> None:
    cleaned = []

    @task
    def stops() -> None:
        try:
            raise interrupt
        finally:
            cleaned.append("task")

    @flow
    def around() -> None:
        try:
            stops()
        except Exception:  # noqa: BLE001
            pytest.fail("no Exception")
        finally:
            cleaned.append("flow")

    with pytest.raises(interrupt):
        around()
    assert cleaned == ["task", "flow"]
    assert current_scope() is None


def test_a_traceback_goes_from_the_users_call_to_the_users_line() -> None:
    @task
    def divides(by: int) -> float:
        return 1 / by

    @flow
    def outer() -> float:
        return divides(0)

    with pytest.raises(ZeroDivisionError) as raised:
        outer()
    frames = traceback.extract_tb(raised.value.__traceback__)
    assert [frame.name for frame in frames if frame.filename == __file__] == [
        "test_a_traceback_goes_from_the_users_call_to_the_users_line",
        "outer",
        "divides",
    ]
    assert not [frame.filename for frame in frames if "/engine/" in frame.filename]
