"""The process of a run: what it tells its server, and how it ends."""

from __future__ import annotations

import logging
import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from msgspec.structs import replace
from tests.sdk.api import Api
from tests.sdk.conftest import Launch, wait_for_file

from reeve.core.runs import FlowRunPolicy
from reeve.core.states import StateDetails, StateType


def final_message(api: Api, run_id: object) -> str:
    return api.history[run_id][-1].message or ""  # type: ignore[index]


def test_a_run_without_anything_needs_two_requests(api: Api, launch: Launch) -> None:
    run_id = api.add_run()
    process = launch(run_id, "engine.py:plain", {"x": "41"}, said_by_a_newer_agent=1)
    assert process.wait() == 0
    assert api.asked == ["set_flow_run_state", "set_flow_run_state"]
    assert api.names(run_id) == ["Pending", "Running", "Completed"]
    assert api.history[run_id][-1].data == {"type": "unpersisted"}
    assert (process.stdout, process.stderr) == ("", "")


def test_tasks_are_runs_with_their_inputs(api: Api, launch: Launch) -> None:
    run_id = api.add_run()
    assert launch(run_id, "engine.py:with_tasks").wait() == 0
    done = ["Pending", "Running", "Completed"]
    assert api.tasks(run_id) == {f"double-{n}": done for n in range(4)}
    by_name = {run.name: run for run in api.task_runs.values()}
    assert by_name["double-3"].task_inputs == {
        "x": [{"input_type": "task_run", "id": str(by_name["double-1"].id)}]
    }
    assert by_name["double-0"].task_inputs == {}
    assert by_name["double-0"].task_key == "engine.double"


def test_what_a_run_says_becomes_its_log(api: Api, launch: Launch) -> None:
    run_id = api.add_run()
    process = launch(run_id, "engine.py:talks", {"day": "2026-01-31"}, attempt_number=3)
    assert process.wait() == 0
    assert api.messages() == ["day 2026-01-31", "attempt 3"]
    assert [(line.level, line.flow_run_id) for line in api.logs] == [
        (logging.INFO, run_id),
        (logging.WARNING, run_id),
    ]
    assert process.stdout == ""


def test_a_failure_is_told_with_its_cause(api: Api, launch: Launch) -> None:
    run_id = api.add_run()
    assert launch(run_id, "engine.py:broken").wait() == 0
    assert api.names(run_id)[-1] == "Failed"
    assert final_message(api, run_id) == "Flow run encountered an exception: ValueError: broken"
    assert api.tasks(run_id) == {"fails-0": ["Pending", "Running", "Failed"]}
    of_task, of_flow = api.messages(logging.ERROR)
    assert 'raise ValueError("broken")' in of_task
    assert "in broken" in of_flow
    assert api.logs[0].task_run_id in api.task_runs


def test_retries_are_the_servers_to_grant(api: Api, launch: Launch) -> None:
    run_id = api.add_run()
    assert launch(run_id, "engine.py:flaky").wait() == 0
    again = ["AwaitingRetry", "Running"]
    assert api.names(run_id) == ["Pending", "Running", *again, *again, "Completed"]
    assert api.flow_runs[run_id].flow_version == "v1"
    assert api.flow_runs[run_id].run_count == 3
    # The same call is the same task run in each try.
    assert list(api.tasks(run_id)) == ["double-0"]
    assert api.tasks(run_id)["double-0"].count("Completed") == 3


def test_tasks_are_retried_by_their_own_policy(api: Api, launch: Launch, tmp_path: Path) -> None:
    run_id = api.add_run()
    assert launch(run_id, "engine.py:task_retry", {"folder": str(tmp_path)}).wait() == 0
    names = ["Pending", "Running", "AwaitingRetry", "Retrying", "Completed"]
    assert api.tasks(run_id) == {"second_time-0": names}


def test_a_subflow_is_a_run_below_a_task_run(api: Api, launch: Launch) -> None:
    run_id = api.add_run()
    assert launch(run_id, "engine.py:outer").wait() == 0
    children = [run for run in api.flow_runs.values() if run.id != run_id]
    assert [api.names(run.id) for run in children] == [["Pending", "Running", "Completed"]] * 2
    assert [run.parameters for run in children] == [{"x": 1}, {"x": 2}]
    parents = {run.id: run for run in api.task_runs.values() if run.flow_run_id == run_id}
    assert [parents[run.parent_task_run_id].name for run in children] == ["inner-0", "inner-1"]  # type: ignore[index]
    assert list(api.flows) == ["inner"]


def test_a_subflow_that_fails_leaves_the_choice_to_its_caller(api: Api, launch: Launch) -> None:
    run_id = api.add_run()
    assert launch(run_id, "engine.py:outer_fails").wait() == 0
    child = next(run for run in api.flow_runs.values() if run.id != run_id)
    assert api.names(child.id)[-1] == "Failed"
    assert api.names(run_id)[-1] == "Completed"


def test_an_async_flow_runs(api: Api, launch: Launch) -> None:
    run_id = api.add_run()
    assert launch(run_id, "engine.py:later").wait() == 0
    assert api.names(run_id)[-1] == "Completed"
    assert len(api.tasks(run_id)) == 3


@pytest.mark.parametrize(
    ("entrypoint", "name", "message"),
    [
        ("engine.py:busy", "TimedOut", "Flow run exceeded timeout of 0.2 second(s)"),
        ("engine.py:says_failed", "Empty", "no rows"),
        ("engine.py:daemon", "Completed", ""),
    ],
)
def test_final_states(api: Api, launch: Launch, entrypoint: str, name: str, message: str) -> None:
    run_id = api.add_run()
    assert launch(run_id, entrypoint).wait() == 0
    assert (api.names(run_id)[-1], final_message(api, run_id)) == (name, message)


@pytest.mark.parametrize(
    ("entrypoint", "parameters", "message"),
    [
        (None, {}, "Flow could not be loaded: Its deployment names no entrypoint."),
        ("nothere.py:f", {}, "Flow could not be loaded: There is no file "),
        (
            "engine.py:palin",
            {},
            "Flow could not be loaded: engine.py has no flow 'palin'. Its flows: plain, ",
        ),
        ("engine.py:plain", {"x": "many"}, "Flow 'plain': parameter 'x' must be a whole number, got 'many'."),
        ("engine.py:plain", {"y": 1}, "Flow 'plain' has no parameter 'y'; it has 'x'."),
        ("engine.py:talks", {}, "Flow 'talks' needs the parameter 'day'."),
    ],
)
def test_what_cannot_start_fails_without_a_retry(
    api: Api, launch: Launch, entrypoint: str | None, parameters: dict[str, object], message: str
) -> None:
    run_id = api.add_run(empirical_policy=FlowRunPolicy(retries=3, retry_delay=0))
    assert launch(run_id, entrypoint, parameters).wait() == 0
    assert api.names(run_id) == ["Pending", "Failed"]
    assert final_message(api, run_id).startswith(message)
    assert api.messages()[0].startswith(message)


@pytest.mark.parametrize("code", [0, 3])
def test_sys_exit_is_a_crash_with_its_own_code(api: Api, launch: Launch, code: int) -> None:
    run_id = api.add_run()
    assert launch(run_id, "engine.py:exits", {"code": code}).wait() == code
    assert (api.names(run_id)[-1], final_message(api, run_id)) == (
        "Crashed",
        "Execution was aborted by Python system exit call.",
    )


def test_an_aborted_run_ends_before_user_code(api: Api, launch: Launch, tmp_path: Path) -> None:
    run_id = api.add_run(StateType.CANCELLED)
    api.holder = "another attempt"
    process = launch(run_id, "engine.py:takes", {"folder": str(tmp_path)})
    assert process.wait() == 0
    assert not (tmp_path / "started").exists()
    assert api.asked[0] == "set_flow_run_state"
    assert "This attempt of the run is over" in api.messages()[0]


def test_a_run_that_is_being_cancelled_ends_before_user_code(
    api: Api, launch: Launch, tmp_path: Path
) -> None:
    run_id = api.add_run(StateType.CANCELLING)
    assert launch(run_id, "engine.py:takes", {"folder": str(tmp_path)}).wait() == 0
    assert not (tmp_path / "started").exists()
    assert api.names(run_id) == ["Cancelling"]


@pytest.mark.parametrize("entrypoint", ["engine.py:takes", "engine.py:takes_in_task"])
def test_a_superseded_attempt_says_no_more(api: Api, launch: Launch, tmp_path: Path, entrypoint: str) -> None:
    run_id = api.add_run()
    process = launch(run_id, entrypoint, {"folder": str(tmp_path)})
    wait_for_file(tmp_path / "started")
    api.holder = "another attempt"
    (tmp_path / "go").touch()
    assert process.wait() == 0
    assert api.names(run_id) == ["Pending", "Running"]


@pytest.mark.parametrize("entrypoint", ["waits", "waits_async", "waits_in_tasks"])
def test_sigterm_lets_the_run_clean_up_and_tells_nothing(
    api: Api, launch: Launch, tmp_path: Path, entrypoint: str
) -> None:
    run_id = api.add_run()
    process = launch(run_id, f"engine.py:{entrypoint}", {"folder": str(tmp_path)})
    wait_for_file(tmp_path / "started")
    process.signal(signal.SIGTERM)
    assert process.wait() == 143
    assert (tmp_path / "cleaned").exists()
    assert not (tmp_path / "mistaken").exists()
    assert api.names(run_id) == ["Pending", "Running"]
    assert "told to end (SIGTERM)" in api.messages()[-1]


def test_what_a_run_forks_ends_by_sigterm(api: Api, launch: Launch) -> None:
    run_id = api.add_run()
    assert launch(run_id, "engine.py:forks").wait() == 0
    assert api.messages()[-1] == f"child ended by {-signal.SIGTERM}"


def test_a_tag_limit_of_zero_fails_the_flow_with_its_reason(api: Api, launch: Launch) -> None:
    run_id = api.add_run()
    api.zero_tag = "db"
    assert launch(run_id, "engine.py:tagged").wait() == 0
    assert api.names(run_id)[-1] == "Failed"
    assert 'limit on tag "db" is 0' in final_message(api, run_id)


def test_an_outage_costs_time_and_nothing_else(api: Api, launch: Launch) -> None:
    run_id = api.add_run()
    api.refuse = {"set_flow_run_state": [503, 503], "create_task_run": [503], "set_task_run_state": [502]}
    api.swallow = ["set_flow_run_state"]
    process = launch(run_id, "engine.py:with_tasks")
    assert process.wait() == 0
    assert api.names(run_id) == ["Pending", "Running", "Completed"]
    assert "Trying again in" in process.stderr


def test_a_final_state_whose_answer_was_lost_is_not_told_twice(
    api: Api, launch: Launch, tmp_path: Path
) -> None:
    run_id = api.add_run()
    process = launch(run_id, "engine.py:takes", {"folder": str(tmp_path)})
    wait_for_file(tmp_path / "started")
    api.swallow = ["set_flow_run_state"]
    (tmp_path / "go").touch()
    assert process.wait() == 0
    assert api.asked.count("set_flow_run_state") == 3
    assert api.names(run_id) == ["Pending", "Running", "Completed"]


def test_logs_outlive_a_server_that_refuses_them(api: Api, launch: Launch) -> None:
    run_id = api.add_run()
    api.refuse = {"create_logs": [503]}
    process = launch(run_id, "engine.py:talks", {"day": "2026-01-31"})
    assert process.wait() == 0
    assert api.messages() == ["day 2026-01-31", "attempt 1"]


def test_a_run_that_is_early_waits_for_its_time(api: Api, launch: Launch) -> None:
    run_id = api.add_run()
    state = api.flow_runs[run_id].state
    assert state is not None
    due = datetime.now(UTC) + timedelta(seconds=3)
    early = replace(state, details=StateDetails(scheduled_time=due))
    api.flow_runs[run_id] = replace(api.flow_runs[run_id], state=early)
    assert launch(run_id, "engine.py:plain").wait() == 0
    assert api.names(run_id) == ["Pending", "Running", "Completed"]
    assert api.history[run_id][1].timestamp > due - timedelta(seconds=0.6)  # the rule rounds to whole seconds
    assert "Scheduled time is in the future" in api.messages()[0]


def test_an_error_of_the_engine_is_one(api: Api, launch: Launch) -> None:
    process = launch(uuid4(), "engine.py:plain")  # a run the server does not know
    assert process.wait() == 1
