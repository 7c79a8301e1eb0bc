"""Fence: whoever comes back too late changes nothing, and is ended (protocol §3, §4)."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from random import Random
from uuid import UUID

from tests.chaos.death import parent
from tests.chaos.frame import Counts, Row
from tests.chaos.site import MARKING, Agent, Mark, Site, alive, until

from reeve.client.sync import Client
from reeve.core.states import StateType
from reeve.core.work import OnLost
from reeve.errors import ForbiddenError, ReeveError
from reeve.wire import endpoints, requests

# A pool that waits gives a silent agent up after this: soon, and longer than a lease.
SETTINGS = {"REEVE_LOST_AFTER_SECONDS": "1"}
ENDED_SECONDS = 2.0  # after it wakes

# Each life waits for a sign of its own, and ticks. It hears no SIGTERM: who is late must be killed.
LIFE = f"""{MARKING}
import signal

@flow
def main(marks: str):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    mark(marks, "begin")
    while not Path(f"{{marks}}.{{os.environ['REEVE_ATTEMPT']}}").exists():
        mark(marks + ".ticks", "tick")
        time.sleep(0.02)
    mark(marks, "end")
"""


def keeps_fence(site: Site, dice: Random, counts: Counts) -> Row:
    """Freeze agents, shims and runs beyond their leases; cut the line; show keys where they do not fit."""
    row = Row()
    site.open()
    deployment = site.deploy(LIFE, "main", "--crash-retries=9")
    for on_lost in OnLost:
        site.client.call(endpoints.set_pool_options, requests.PoolOptions(on_lost=on_lost), name="default")
        for number in range(counts.trials(20, 1)):
            is_eager = (number % 2 == 0) == (on_lost is OnLost.REPLACE)
            _frozen(site, row, counts, deployment, f"frozen-{on_lost}-{number}", is_eager=is_eager)
    for number in range(counts.trials(20, 1)):  # the pool replaces
        _cut_off(site, row, dice, counts, deployment, f"cut-{number}")
        _agent_frozen(site, row, counts, deployment, f"agent-{number}")
    _keys(site, row, deployment)
    return row


def _frozen(site: Site, row: Row, counts: Counts, deployment: str, name: str, *, is_eager: bool) -> None:
    """Stop agent, shim and run until another agent has the run; then let all three go on.

    An eager one would complete the run as soon as it wakes, and its launch was not told yet; another goes on
    until it is killed.
    """
    first = _first_life(site, counts, deployment, Agent(f"{name}-a", queues=(name,)))
    if not is_eager:
        _until_told(site, first)
    stopped = [site.processes[f"{name}-a"].pid, parent(first.pid), first.pid]
    _signal(stopped, signal.SIGSTOP)
    second = _second_life(site, Agent(f"{name}-b", queues=(name,)), first)
    if is_eager:
        _end(site, first)
    woken = time.time()
    _signal(stopped, signal.SIGCONT)
    gone = _until(lambda: not alive(first.pid), 30)
    seconds = time.time() - woken
    row.trials += 1
    row.expect(gone and seconds <= ENDED_SECONDS, f"{name}: the late process lived for {seconds:.1f} s")
    _note(row, "late process ended after", seconds, max)
    _finish(site, row, name, first, second)


def _cut_off(site: Site, row: Row, dice: Random, counts: Counts, deployment: str, name: str) -> None:
    """Cut the line of an agent and its run: nothing is frozen, and the two lives do not overlap."""
    line = site.line(dice)
    first = _first_life(site, counts, deployment, Agent(f"{name}-a", queues=(name,), url=line.url))
    _until_told(site, first)
    line.cut()
    second = _second_life(site, Agent(f"{name}-b", queues=(name,)), first)
    ticks = site.marked("tick", Path(f"{site.marks}.ticks"))
    last = max(tick.at for tick in ticks if tick.attempt_id == first.attempt_id)
    row.trials += 1
    row.expect(last < second.at, f"{name}: the lives overlap by {last - second.at:.2f} s")
    row.expect(not alive(first.pid), f"{name}: the first life goes on")
    _note(row, "between two lives", second.at - last, min)
    line.mend()
    _finish(site, row, name, first, second)


def _agent_frozen(site: Site, row: Row, counts: Counts, deployment: str, name: str) -> None:
    """Stop the agent alone for longer than the lease: the shim renews, and there is no second attempt."""
    agent = Agent(f"{name}-a", queues=(name,))
    first = _first_life(site, counts, deployment, agent)
    site.employ(Agent(f"{name}-b", queues=(name,)))
    pid = site.processes[agent.name].pid
    _signal([pid], signal.SIGSTOP)
    time.sleep(2 * site.lease)  # nothing is waited for: nothing is to happen
    _end(site, first)
    until("the first life to end", lambda: not alive(first.pid))
    _signal([pid], signal.SIGCONT)
    site.until_final([first.run_id])
    row.trials += 1
    outcome = site.outcome(first.run_id)
    row.expect(outcome.state == "Completed", f"{name}: {outcome.state}: {outcome.message}")
    (attempts,) = site.rows(f"select count(*) from attempts where flow_run_id = '{first.run_id}'")[0]
    row.expect(attempts == 1, f"{name}: {attempts} attempts")
    _dismiss(site, name)


def _keys(site: Site, row: Row, deployment: str) -> None:
    """Show an attempt's key at another run's door, and after its end; look for the agent's own everywhere."""
    site.employ(Agent("keys-a", queues=("keys",)))
    runs = site.run_at_once(deployment, 2, queue="keys", marks=str(site.marks))
    until("both to begin", lambda: all(_life(site, run_id) for run_id in runs))
    mine, other = (_last_life(site, run_id) for run_id in runs)
    environment = Path(f"/proc/{mine.pid}/environ").read_bytes()
    variables = dict(line.split(b"=", 1) for line in environment.split(b"\0") if line)
    row.trials += 4
    row.expect(
        variables[b"PREFECT_API_KEY"] == variables[b"REEVE_API_KEY"], "a 2.20 engine would not be fenced"
    )
    own = (site.home / "key").read_text().strip()
    shown = [environment, *(Path(f"/proc/{pid}/cmdline").read_bytes() for pid in site.members())]
    shown += [path.read_bytes() for path in site.root.glob("*.log")]
    shown += [str(found).encode() for found in site.rows("select message from logs")]
    row.expect(not any(own.encode() in text for text in shown), "the agent's own key is shown")
    token = variables[b"REEVE_API_KEY"].decode()
    with Client(f"http://127.0.0.1:{site.port}/api", token, patience=10) as client:
        row.expect(_refused(client, other.run_id), "a key speaks for another run")
        for life in (mine, other):
            _end(site, life)
        site.until_final(runs)
        row.expect(_refused(client, mine.run_id), "a key outlives its attempt")
    _dismiss(site, "keys")


def _refused(client: Client, run_id: UUID) -> bool:
    state = requests.StateCreate(type=StateType.FAILED)
    try:
        client.call(endpoints.set_flow_run_state, requests.SetState(state=state, force=True), id=run_id)
    except ForbiddenError:
        return True
    except ReeveError:
        return False
    return False


def _first_life(site: Site, counts: Counts, deployment: str, agent: Agent) -> Mark:
    site.employ(agent)
    if counts.scale:  # two runs more: too long for a short form
        site.warm([agent])
    (run_id,) = site.begin(deployment, 1, queue=agent.queues[0])
    until("the first life", lambda: _life(site, run_id))
    return _last_life(site, run_id)


def _until_told(site: Site, life: Mark) -> None:
    """Wait until the server knows that an attempt was launched."""
    told = f"select count(*) from attempts where id = '{life.attempt_id}' and handle is not null"
    until("the launch to be told", lambda: site.rows(told)[0][0])


def _second_life(site: Site, agent: Agent, first: Mark) -> Mark:
    site.employ(agent)
    until("the second life", lambda: _life(site, first.run_id) == 2)
    return _last_life(site, first.run_id)


def _finish(site: Site, row: Row, name: str, first: Mark, second: Mark) -> None:
    """Let the second life complete the run; nothing of the first may have been written after it began."""
    before = site.outcome(first.run_id).state
    row.expect(before == "Running", f"{name}: the run is {before} while its second life goes on")
    _end(site, second)
    site.until_final([first.run_id])
    outcome = site.outcome(first.run_id)
    row.expect(outcome.state == "Completed", f"{name}: {outcome.state}: {outcome.message}")
    row.expect(_life(site, first.run_id) == 2, f"{name}: {_life(site, first.run_id)} lives")
    ((opened,),) = site.rows(f"select opened from attempts where id = '{second.attempt_id}'")
    late = site.rows(f"select kind from events where attempt_id = '{first.attempt_id}' and at > {opened}")
    row.expect(not late, f"{name}: the first attempt was written to after the second had opened: {late}")
    entered = site.rows(
        f"select name from flow_run_states where flow_run_id = '{first.run_id}' and timestamp >= {opened}"
        " order by cursor"
    )
    said = [state for (state,) in entered]
    row.expect(said == ["Pending", "Running", "Completed"], f"{name}: the second life is told as {said}")
    _dismiss(site, name)


def _dismiss(site: Site, name: str) -> None:
    for agent in [one for one in site.processes if one.startswith(name)]:
        site.stop(agent)


def _life(site: Site, run_id: UUID) -> int:
    return sum(mark.run_id == run_id for mark in site.marked())


def _last_life(site: Site, run_id: UUID) -> Mark:
    return [mark for mark in site.marked() if mark.run_id == run_id][-1]


def _end(site: Site, life: Mark) -> None:
    Path(f"{site.marks}.{life.attempt_id}").touch()


def _signal(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def _until(look: Callable[[], bool], patience: float) -> bool:
    with suppress(AssertionError):
        return until("it", look, patience)
    return False


def _note(row: Row, what: str, seconds: float, choose: Callable[[float, float], float]) -> None:
    """Keep the most telling of all trials: the longest, or the shortest."""
    known = float(row.figures[what].split()[0]) if what in row.figures else seconds
    row.figures[what] = f"{choose(known, seconds):.2f} s at {'most' if choose is max else 'least'}"
