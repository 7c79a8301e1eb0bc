"""What is ended by a pid that a 2.20 server keeps, and what is never touched (W34), with real processes."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from tests.acceptance.house import alive, until

from reeve.agent import their_processes
from reeve.agent.identity import occupy
from reeve.agent.their_processes import OutOfReachError
from reeve.core.runs import FlowRunPolicy
from reeve.core.states import StateType
from reeve.wire.responses import FlowRunResponse, State, StateDetails

HOST = socket.gethostname()
LONG = ("sleep", "600")
Start = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def start() -> Iterator[Start]:
    """Give a starter of processes, each in a session of its own, with variables in their environment."""
    started: list[subprocess.Popen[bytes]] = []

    def launch(*command: str, **variables: str) -> subprocess.Popen[bytes]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT__")}
        process = subprocess.Popen(
            command, env=kept | variables, stdin=subprocess.DEVNULL, start_new_session=True
        )
        started.append(process)
        return process

    yield launch
    for one in started:
        one.kill()
        one.wait()


def run_at(pid: str | int, run_id: UUID | None = None, *, age: float = 0, runs: int = 0) -> FlowRunResponse:
    """Return a run that was made so many seconds ago and ran at once, and is to be cancelled."""
    at = (datetime.now(UTC) - timedelta(seconds=age)).isoformat()
    cancelling = State(
        id=uuid4(), type=StateType.CANCELLING, name="Cancelling", timestamp=at, state_details=StateDetails()
    )
    return FlowRunResponse(
        id=run_id or uuid4(),
        created=at,
        updated=at,
        name="r",
        flow_id=uuid4(),
        parameters={},
        context={},
        empirical_policy=FlowRunPolicy(),
        tags=[],
        state_type=StateType.CANCELLING,
        state_name="Cancelling",
        state=cancelling,
        start_time=at,
        run_count=runs,
        infrastructure_pid=pid if isinstance(pid, str) else f"{HOST}:{pid}",
    )


async def test_a_run_is_ended_with_all_it_has_started(start: Start, tmp_path: Path) -> None:
    run_id, pids = uuid4(), tmp_path / "pids"
    # One child keeps no variable and hears no SIGTERM, one is in a session of its own.
    script = (
        f"env -i sh -c 'trap \"\" TERM; echo $$ >> {pids}; exec sleep 600' & "
        f"setsid sh -c 'echo $$ >> {pids}; exec sleep 600' & "
        f"echo $$ >> {pids}; wait"
    )
    main = start("sh", "-c", script, PREFECT__FLOW_RUN_ID=str(run_id))
    until("all to run", lambda: pids.exists() and len(pids.read_text().split()) == 3)
    await their_processes.end(run_at(main.pid, run_id), grace_seconds=0.5)
    assert [pid for pid in map(int, pids.read_text().split()) if alive(pid)] == []


async def test_what_was_seen_of_a_run_is_ended_without_its_mark_too(start: Start, tmp_path: Path) -> None:
    run_id, ready = uuid4(), tmp_path / "ready"
    shedding = f"trap 'exec env -i sleep 600' TERM; touch {ready}; while :; do sleep 0.05; done"
    main = start("sh", "-c", shedding, PREFECT__FLOW_RUN_ID=str(run_id))
    until("it to run", ready.exists)
    await their_processes.end(run_at(main.pid, run_id), grace_seconds=0.5)
    assert not alive(main.pid)


async def test_a_pid_of_another_run_is_not_touched(start: Start) -> None:
    others = start(*LONG, PREFECT__FLOW_RUN_ID=str(uuid4()))
    run = run_at(others.pid)
    assert their_processes.find(run) == []
    await their_processes.end(run)
    assert others.poll() is None


@pytest.mark.parametrize(("age", "runs"), [(-3600, 0), (3600, 1)], ids=["before it was made", "after it ran"])
def test_a_process_that_was_started_at_another_time_is_another(start: Start, age: float, runs: int) -> None:
    assert their_processes.find(run_at(start(*LONG).pid, age=age, runs=runs)) == []


async def test_a_process_that_may_be_it_is_neither_touched_nor_called_gone(start: Start) -> None:
    unmarked = start(*LONG)
    with pytest.raises(OutOfReachError, match="Nothing shows whether it is the flow run's or another's"):
        await their_processes.end(run_at(unmarked.pid))
    assert unmarked.poll() is None


def test_what_has_ended_is_gone_also_while_nobody_has_reaped_it(start: Start) -> None:
    run_id = uuid4()
    ended = start("true", PREFECT__FLOW_RUN_ID=str(run_id))
    until("its end", lambda: not alive(ended.pid))
    assert their_processes.find(run_at(ended.pid, run_id)) == []
    ended.wait()
    assert their_processes.find(run_at(ended.pid, run_id)) == []


@pytest.mark.parametrize(
    ("pid", "says"),
    [
        (
            "else:where:7",
            "Unable to kill process 7: The process is running on a different host 'else:where'.",
        ),
        ("http+docker://box:0a1b", "Unable to kill 'http+docker://box:0a1b': It is no process."),
    ],
)
def test_what_is_elsewhere_is_out_of_reach(pid: str, says: str) -> None:
    with pytest.raises(OutOfReachError) as caught:
        their_processes.find(run_at(pid))
    assert caught.value.message == says


def test_2_20s_runner_is_known_by_its_command(start: Start) -> None:
    run_id = uuid4()
    mark = {"PREFECT__FLOW_RUN_ID": str(run_id)}
    plain = start(sys.executable, "-c", "import time; time.sleep(600)", "flow-run", "other", **mark)
    run = run_at(plain.pid, run_id)
    assert [one.pid for one in their_processes.find(run)] == [plain.pid]
    assert not their_processes.are_of_a_runner(their_processes.find(run))
    start(sys.executable, "-c", "import time; time.sleep(600)", "flow-run", "execute", **mark)
    until("the runner", lambda: their_processes.are_of_a_runner(their_processes.find(run)))


def test_what_a_living_agent_of_reeves_holds_is_its(start: Start, tmp_path: Path) -> None:
    with occupy(tmp_path, "holder") as identity:
        records = identity.directory / "spool" / str(uuid4()) / "records"
        run_id = uuid4()
        held = start(*LONG, PREFECT__FLOW_RUN_ID=str(run_id), REEVE_RECORDS=str(records))
        found = their_processes.find(run_at(held.pid, run_id))
        assert their_processes.have_an_agent(found)
    assert not their_processes.have_an_agent(found)
