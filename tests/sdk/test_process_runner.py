"""Tasks in other processes: the same as on threads, and what can only happen there."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.acceptance.house import alive, until
from tests.fixtures.flows import remote

from reeve import (
    Flow,
    ProcessTaskRunner,
    RunTimedOutError,
    State,
    TaskFuture,
    allow_failure,
    flow,
    task,
    unmapped,
)
from reeve.errors import InvalidInputError
from reeve.sdk import task_runners
from reeve.sdk.workers.crossing import NotPicklableError, WorkerDiedError, WorkerError


def in_processes(body: Callable[[], Any], workers: int = 1) -> Any:
    """Run a body as a flow with processes."""
    made: Flow[[], Any] = flow(task_runner=ProcessTaskRunner(workers), name="f")(body)
    return made()


def test_tasks_are_executed_elsewhere_with_all_that_threads_offer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REEVE_RESULTS", str(tmp_path / "results"))

    def body() -> list[Any]:
        first = remote.double.submit(4)
        late = remote.add.submit(first, y=remote.double_later.submit(1), wait_for=[first])
        return [
            remote.pid.submit().result() != os.getpid(),
            late.result(),
            remote.add.map([1, first], unmapped(10)).result(),
            remote.second_time.submit(tmp_path).result(),
            remote.Shop(3).cost.submit(2).result(),
            remote.calls_another.submit(5).result(),
            [remote.counted.submit(tmp_path, 1).result() for _ in range(2)],
        ]

    assert in_processes(body, 2) == [True, 10, [11, 18], "try 2", 6, 20, [2, 2]]
    assert (tmp_path / "calls").read_text() == "x"


def test_a_task_knows_its_run_and_logs_as_on_a_thread(caplog: pytest.LogCaptureFixture) -> None:
    def body() -> Any:
        return remote.talks.submit(3).result()

    with caplog.at_level(logging.INFO, "reeve"):
        assert in_processes(body) == {
            "name": "talks-0",
            "parameters": {"x": 3},
            "task": "talks",
            "flow": "f",
        }
    lines = [(one.name, one.getMessage()) for one in caplog.records]
    assert [line for line in lines if line[0] == "reeve.task_runs"] == [
        ("reeve.task_runs", "x is 3"),
        ("reeve.task_runs", "printed"),
    ]


def test_failures_arrive_as_they_were_raised(caplog: pytest.LogCaptureFixture) -> None:
    states: list[State[Any] | None] = []

    def body() -> None:
        failed = remote.fails.submit("plain")
        later: list[TaskFuture[Any]] = [
            remote.fails.submit("stubborn"),
            remote.too_long.submit(),
            remote.add.submit(1, allow_failure(failed)),
            remote.dies.submit(),
            remote.double.submit(2),
        ]
        states.extend(future.wait() for future in [failed, *later])

    in_processes(body)
    plain, stubborn, late, told, dead, alive_again = [state for state in states if state is not None]
    with pytest.raises(ValueError, match="broken"):
        plain.result()
    assert "remote.py" in caplog.text, "the places in the user's code are told"
    with pytest.raises(WorkerError, match=r"StubbornError: out of paper \(7\) .*cannot be pickled"):
        stubborn.result()
    with pytest.raises(RunTimedOutError):
        late.result()
    with pytest.raises(TypeError):
        told.result()
    assert dead.name == "Crashed"
    with pytest.raises(WorkerDiedError, match="was killed by SIGKILL"):
        dead.result()
    assert alive_again.result() == 4


def test_a_worker_that_died_is_a_failure_that_retries_are_for(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def tried(name: str, **conditions: Any) -> State[Any]:
        folder = tmp_path / name
        folder.mkdir()
        made = task(retries=1, **conditions)(remote.dies_once.fn)
        return made.submit(folder).wait() or pytest.fail("it did not end")

    def body() -> None:
        assert tried("plain").result() == "alive"
        assert tried("named", retry_on=(OSError, WorkerDiedError)).is_completed
        assert tried("asked", retry_if=lambda state: isinstance(state.error, WorkerDiedError)).is_completed
        assert tried("other", retry_on=OSError).name == "Crashed", "it was told what to try again"

    in_processes(body)
    assert caplog.text.count("was killed by SIGKILL") == 4


def test_what_cannot_cross_is_named() -> None:
    def given() -> None:
        remote.add.submit(1, y=threading.Lock()).result()

    with pytest.raises(NotPicklableError, match=r"Task 'add' .* its argument 'y' \(lock\) cannot be pickled"):
        in_processes(given)
    with pytest.raises(NotPicklableError, match=r"Task 'returns_a_lock' returned a value \(lock\)"):
        in_processes(lambda: remote.returns_a_lock.submit().result())

    @task
    def inside() -> None:
        """Found by nobody."""

    with pytest.raises(NotPicklableError, match="at the top level of a module"):
        in_processes(lambda: inside.submit().result())


def test_an_interrupted_flow_takes_its_workers_with_it(tmp_path: Path) -> None:
    def body() -> None:
        remote.leaves_a_child.submit(tmp_path)
        until("the task", lambda: (tmp_path / "pids").exists() and (tmp_path / "pids").read_text())
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        in_processes(body)
    worker, child = map(int, (tmp_path / "pids").read_text().split())
    assert not alive(worker)
    assert not alive(child)
    assert (tmp_path / "cleaned").exists()


def test_workers_die_with_the_process_of_their_flow(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from tests.fixtures.flows.remote import waits_in_worker\n"
        "waits_in_worker(Path(sys.argv[1]))"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stderr=subprocess.DEVNULL)
    try:
        until("the task", lambda: (tmp_path / "pids").exists() and (tmp_path / "pids").read_text())
    finally:
        process.kill()
        process.wait()
    worker, child = map(int, (tmp_path / "pids").read_text().split())
    until("the worker to end", lambda: not alive(worker))
    os.kill(child, signal.SIGKILL)


def test_a_script_is_its_own_module_in_the_workers_too(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "from reeve import flow, task\n"
        "class Box:\n    def __init__(self, x): self.x = x\n"
        "@task\ndef unbox(box): return box.x\n"
        "@flow(task_runner='processes', max_workers=1)\ndef main(): return unbox.submit(Box(5)).result()\n"
        "if __name__ == '__main__': print(main())\n"
    )
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=False)
    assert done.stdout == "5\n", done.stderr


def test_runners_are_checked_where_they_are_written(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        InvalidInputError, match="task_runner must be one of 'threads', 'processes', 'dask', 'ray'"
    ):
        flow(task_runner="clouds")(remote.remote_tasks.fn)  # type: ignore[call-overload]  # as users would
    with pytest.raises(InvalidInputError, match="max_workers must be 1 or more, got 0"):
        ProcessTaskRunner(0)
    monkeypatch.setattr(task_runners, "find_spec", lambda _: None)
    with pytest.raises(task_runners.TaskRunnerMissingError, match=r"pip install 'reeve\[dask\]'"):
        task_runners.DaskTaskRunner()
    with pytest.raises(task_runners.TaskRunnerMissingError, match=r"pip install 'reeve\[ray\]'"):
        flow(task_runner="ray")(remote.remote_tasks.fn)
