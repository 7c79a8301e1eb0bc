"""Functions that are called when runs enter states."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from typing import Any

import pytest
from tests.sdk.api import Api
from tests.sdk.conftest import Launch, wait_for_file
from tests.sdk.test_script import ACCEPT, play, rejected, told

from reeve import Failed, RunInfo, State, current_run, flow, get_run_logger, task
from reeve.core.states import StateType, propose
from reeve.errors import InvalidInputError
from reeve.sdk.engine.outcomes import Raised, Returned
from reeve.sdk.engine.run import Accepted, Kind
from reeve.sdk.states import RunStopped, Terminated

Told = list[tuple[str, str]]


def teller(told: Told) -> Any:
    def hook(of: Any, run: RunInfo, state: State[Any]) -> None:
        told.append((run.name if of.name == "named" else of.name, state.name))

    return hook


def test_hooks_are_called_when_a_run_has_ended() -> None:
    told: Told = []
    hook = teller(told)

    @task(on_completion=hook, on_failure=[hook, hook])
    def divide(x: int) -> float:
        return 1 / x

    @flow(on_running=hook, on_completion=hook, on_failure=hook)
    def main() -> str:
        divide(1)
        return divide.run(0).name

    assert main() == "Failed"
    assert told == [
        ("main", "Running"),
        ("divide", "Completed"),
        ("divide", "Failed"),
        ("divide", "Failed"),
        ("main", "Completed"),
    ]


def test_hooks_are_added_by_decorators() -> None:
    told: Told = []

    @flow(retries=1)
    def fails() -> None:
        raise OSError("no")

    @fails.on_running
    @fails.on_failure
    def heard(of: object, run: RunInfo, state: State[Any]) -> None:
        assert of is fails
        assert current_run() == run
        told.append((str(run.try_number), state.name))

    @task
    def works() -> None: ...

    @works.on_completion
    async def later(of: object, run: RunInfo, state: State[Any]) -> None:
        await asyncio.sleep(0)
        told.append((run.name, state.name))

    assert fails.run().name == "Failed"
    works()
    assert told == [("1", "Running"), ("2", "Running"), ("2", "Failed"), ("works-0", "Completed")]


def test_hooks_of_async_runs() -> None:
    told: Told = []

    async def later(of: Any, run: RunInfo, state: State[Any]) -> None:
        await asyncio.sleep(0)
        told.append((run.name, state.name))

    @task(on_completion=later)
    async def works() -> None: ...

    @flow(on_completion=teller(told))
    async def main() -> None:
        await works()

    asyncio.run(main())
    assert told == [("works-0", "Completed"), ("main", "Completed")]


def test_a_task_that_was_not_started_has_failed() -> None:
    told: Told = []

    @task
    def fails() -> None:
        raise OSError("no")

    @task(on_failure=teller(told))
    def needs(x: object) -> None: ...

    @flow
    def main() -> object:
        needs.submit(fails.submit()).wait()
        return None

    main()
    assert told == [("needs", "Failed")]


def test_what_a_hook_raises_changes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    told: Told = []

    def broken(*_: object) -> None:
        get_run_logger().info("from the hook")
        raise OSError("mail server")

    @flow(on_completion=[broken, teller(told)])
    def main() -> int:
        return 1

    assert main() == 1
    assert told == [("main", "Completed")]
    assert "Hook 'broken' raised, which changes nothing" in caplog.text
    assert "OSError: mail server" in caplog.text


def test_a_task_in_a_hook_is_plain_python() -> None:
    values = []

    @task
    def double(x: int) -> int:
        return 2 * x

    @flow(on_failure=lambda *_: values.append(double(4)))
    def main() -> object:
        double(1)
        return Failed("no")

    assert main.run().name == "Failed"
    assert values == [8]


def test_hooks_are_checked_where_they_are_written() -> None:
    with pytest.raises(InvalidInputError, match="Task 't': on_failure takes functions, got 'mail'"):
        task(name="t", on_failure=["mail"])(print)  # type: ignore[list-item]


# What the engine asks for.


def hooked(*types: StateType) -> dict[str, Any]:
    return {"hooks": {type_: [print] for type_ in types}}


def test_a_cancellation_is_looked_up() -> None:
    for state, after in [(StateType.CANCELLING, ["consult"]), (StateType.RUNNING, [])]:
        answers = [ACCEPT, Terminated(), state, *[Returned(None) for _ in after]]
        asked: list[Any] = []
        with pytest.raises(Terminated):
            play(answers, asked=asked, **hooked(StateType.CANCELLED))
        assert told(asked) == ["Running", "call", "look", *after]


def test_a_run_that_ends_while_it_is_cancelled_calls_its_hook() -> None:
    asked: list[Any] = []
    cancelling = rejected(StateType.CANCELLING)
    with pytest.raises(RunStopped):
        play(
            [ACCEPT, Returned(1), cancelling, StateType.CANCELLING, Returned(None)],
            asked=asked,
            **hooked(StateType.CANCELLED),
        )
    assert told(asked) == ["Running", "call", "Completed", "look", "consult"]


def test_a_result_of_an_earlier_attempt_calls_none() -> None:
    asked, state = play([rejected(StateType.COMPLETED)], Kind.TASK, **hooked(StateType.COMPLETED))
    assert (told(asked), state.name) == (["Running"], "Completed")
    asked, state = play(
        [rejected(StateType.COMPLETED, "Cached"), Returned(None)], Kind.TASK, **hooked(StateType.COMPLETED)
    )
    assert (told(asked), state.name) == (["Running", "consult"], "Cached")


def test_a_run_that_never_ran_calls_none() -> None:
    with pytest.raises(RunStopped):
        play([rejected(StateType.CANCELLING)], **hooked(StateType.CANCELLED))


def test_a_crash_that_is_another_attempt_calls_no_hook() -> None:
    crashed = Accepted(propose(StateType.CRASHED))
    for answer, after in [(crashed, ["consult"]), (rejected(StateType.SCHEDULED), [])]:
        asked: list[Any] = []
        with pytest.raises(KeyboardInterrupt):
            play(
                [ACCEPT, KeyboardInterrupt(), answer, *[Returned(None) for _ in after]],
                asked=asked,
                **hooked(StateType.CRASHED),
            )
        assert told(asked) == ["Running", "call", "Crashed", *after]


def test_a_hook_that_raises_is_followed_by_the_next() -> None:
    hooks: dict[str, Any] = {"hooks": {StateType.COMPLETED: [print, print]}}
    asked, state = play([ACCEPT, Returned(1), ACCEPT, Raised(OSError()), Returned(2)], Kind.TASK, **hooks)
    assert told(asked) == ["Running", "call", "Completed", "consult", "consult"]
    assert state.result() == 1


# In the process of a run.


@pytest.mark.parametrize("entrypoint", ["hooked.py:waits", "hooked.py:waits_async", "hooked.py:outer"])
def test_sigterm_of_a_cancelled_run_calls_its_hook(
    api: Api, launch: Launch, tmp_path: Path, entrypoint: str
) -> None:
    run_id = api.add_run()
    process = launch(run_id, entrypoint, {"folder": str(tmp_path)})
    wait_for_file(tmp_path / "started")
    api.enter(run_id, StateType.CANCELLING)
    process.signal(signal.SIGTERM)
    assert process.wait() == 143
    # The hook comes after the clean-up.
    assert (tmp_path / "said").read_text() == "cleaned Cancelling "
    assert "from the hook" in api.messages()


def test_sigterm_of_a_run_that_goes_on_elsewhere_calls_none(api: Api, launch: Launch, tmp_path: Path) -> None:
    run_id = api.add_run()
    process = launch(run_id, "hooked.py:waits", {"folder": str(tmp_path)})
    wait_for_file(tmp_path / "started")
    process.signal(signal.SIGTERM)
    assert process.wait() == 143
    assert (tmp_path / "said").read_text() == "cleaned "


def test_a_server_that_is_away_does_not_hold_the_end_up(api: Api, launch: Launch, tmp_path: Path) -> None:
    run_id = api.add_run()
    process = launch(run_id, "hooked.py:waits", {"folder": str(tmp_path)})
    wait_for_file(tmp_path / "started")
    api.refuse = {"read_flow_run": [503] * 100}
    process.signal(signal.SIGTERM)
    assert process.wait() == 143


def test_names_and_hooks_of_a_deployed_run(api: Api, launch: Launch, tmp_path: Path) -> None:
    run_id = api.add_run()
    assert launch(run_id, "hooked.py:named", {"folder": str(tmp_path), "day": 3}).wait() == 0
    assert api.flow_runs[run_id].name == "day 3"
    assert (tmp_path / "said").read_text() == "Running:day 3 Completed:day 3 "
    assert list(api.tasks(run_id)) == ["part 3"]
