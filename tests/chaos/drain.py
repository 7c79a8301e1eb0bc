"""Drain: agents that are told to stop give back what they have not begun, finish or leave the rest (A161)."""

from __future__ import annotations

import signal
import time
from collections import Counter
from functools import partial
from pathlib import Path
from random import Random

from tests.chaos.frame import Counts, Row
from tests.chaos.site import BRIEF, Agent, Site, alive, until

# Longer than an agent is stopped here before it gives back: what is returned is not returned by its lease.
SETTINGS = {"REEVE_LEASE_SECONDS": "10"}

FLOWS = f"""{BRIEF}
@flow
def waits(marks: str):
    mark(marks, "begin")
    while not Path(marks + ".go").exists():
        time.sleep(0.1)
    mark(marks, "end")
"""

DRAIN = 30.0  # seconds; no run takes as long
LONGEST_RUN = 2.0  # seconds
AT_ONCE = 5.0  # seconds until what was given back begins elsewhere, on a machine that does much else


def keeps_drain(site: Site, dice: Random, counts: Counts) -> Row:
    """Count what is given back, what is left, and restarts of one agent after another under load."""
    row = Row()
    site.open()
    brief, waiting = site.deploy(FLOWS), site.deploy(FLOWS, "waits")
    for number in range(counts.trials(50, 1)):
        _give_back(site, row, brief, number)
        _leave(site, row, dice, waiting, number, longer_than_lease=counts.scale > 0)
    _restart_under_load(site, dice, counts, row, brief)
    return row


def _restart_under_load(site: Site, dice: Random, counts: Counts, row: Row, deployment: str) -> None:
    """Restart agents one after another: each ends in order, and no run fails or runs twice."""
    total = counts.trials(400, 12)
    row.trials += total
    before = site.states().get("Completed", 0)
    options = ("--limit", "2", "--drain-timeout", f"{DRAIN:g}")
    agents = [Agent(f"agent-{number}", options) for number in range(counts.scaled(5, 2))]
    for agent in agents:
        site.employ(agent)
    for agent in agents:  # one that has only begun to start knows no signals yet
        until("it to be there", partial(_is_online, site, agent))
    runs = [
        run_id
        for _ in range(total)
        for run_id in site.begin(deployment, 1, seconds=dice.uniform(0, LONGEST_RUN))
    ]
    restarts, longest = 0, 0.0
    while restarts < len(agents) or _left(site) > total // 4:
        agent = agents[restarts % len(agents)]
        longest = max(longest, _restart(site, row, agent))
        restarts += 1
    row.expect(site.settles(60 + total), "not all runs ended")
    row.expect(site.states() == {"Completed": before + total}, f"not all runs completed: {site.states()}")
    starts = Counter(mark.run_id for mark in site.marked())
    for run_id in runs:
        row.expect(starts[run_id] == 1, f"{run_id} was started {starts[run_id]} times")
    row.figures |= {"restarts": str(restarts), "longest drain": f"{longest:.1f} s"}


def _is_held(site: Site) -> bool:
    """Whether a poll is open now and a moment later: an agent's first one is answered at once."""
    before = site.open_polls()
    time.sleep(0.05)
    return before == site.open_polls() == 1


def _give_back(site: Site, row: Row, deployment: str, number: int) -> None:
    """Stop an agent between claim and launch: its run is given back, and begins at once elsewhere.

    It stands still while the server grants to its open poll, and wakes with the signal and the grant.
    """
    leaving, taking = (
        Agent(f"{word}-{number}", queues=(f"back-{number}",)) for word in ("leaving", "taking")
    )
    site.employ(leaving)
    until("its poll", lambda: _is_held(site))
    process = site.process(leaving.name)
    process.send_signal(signal.SIGSTOP)
    (run_id,) = site.begin(deployment, 1, queue=leaving.queues[0])
    until("the claim", lambda: _held(site, leaving))
    site.employ(taking)
    until("the other to be there", lambda: _is_online(site, taking))
    process.send_signal(signal.SIGTERM)
    woken = time.time()
    process.send_signal(signal.SIGCONT)
    site.until_final([run_id])
    row.trials += 1
    row.expect(process.wait(DRAIN) == 0, f"{leaving.name} ended with {process.returncode}")
    story = site.attempts_of(run_id)
    row.expect(story == [(leaving.name, False), (taking.name, True)], f"given back: {story}")
    begun = [mark.at for mark in site.marked() if mark.run_id == run_id]
    row.expect(len(begun) == 1, f"given back: user code was started {len(begun)} times")
    row.expect(begun[0] - woken <= AT_ONCE, f"given back: begun elsewhere after {begun[0] - woken:.1f} s")
    row.figures["begun elsewhere"] = f"after {begun[0] - woken:.1f} s"
    del site.processes[leaving.name]
    site.stop(taking.name)


def _leave(
    site: Site, row: Row, dice: Random, deployment: str, number: int, *, longer_than_lease: bool
) -> None:
    """Stop an agent that leaves its runs: they go on, end with or without it, and its next start knows."""
    options = ("--leave-runs", "--drain-timeout", "0.5")
    agent = Agent(f"staying-{number}", options, queues=(f"staying-{number}",))
    marks = site.root / f"left-{number}"
    site.employ(agent)
    (run_id,) = site.run_at_once(deployment, 1, queue=agent.name, marks=str(marks))
    until("user code", lambda: site.marked(marks=marks))
    (mark,) = site.marked(marks=marks)
    code = site.stop(agent.name)
    row.expect(code == 0, f"left: the agent ended with {code}")
    row.expect(alive(mark.pid), "left: the run ended with its agent")
    ends_alone = dice.random() < 0.5
    if longer_than_lease:
        time.sleep(site.lease * dice.uniform(1, 2))
    if ends_alone:
        Path(f"{marks}.go").touch()
        until("it to end", lambda: not alive(mark.pid))
    site.employ(agent)
    until("the next start", lambda: _is_online(site, agent))
    row.expect(ends_alone or alive(mark.pid), "left: the next start has ended the run")
    Path(f"{marks}.go").touch()
    site.until_final([run_id])
    row.trials += 1
    outcome, begun = site.outcome(run_id), site.marked(marks=marks)
    row.expect(outcome.state == "Completed", f"left: {outcome.state}: {outcome.message}")
    row.expect(len(begun) == len(site.marked("end", marks)) == 1, f"left: begun {len(begun)} times")
    story = site.attempts_of(run_id)
    row.expect(story == [(agent.name, True)], f"left: {story}")
    site.stop(agent.name)


def _restart(site: Site, row: Row, agent: Agent) -> float:
    """Stop an agent in order and start it again; return how long it took to stop."""
    began = time.monotonic()
    code = site.stop(agent.name)
    seconds = time.monotonic() - began
    row.expect(code == 0, f"{agent.name} ended with {code}")
    left = _held(site, agent)
    row.expect(left == 0, f"{agent.name} left {left} runs behind")
    row.expect(seconds <= DRAIN, f"{agent.name} needed {seconds:.1f} s to stop")
    site.employ(agent)
    until("it to be back", lambda: _is_online(site, agent))
    return seconds


def _held(site: Site, agent: Agent) -> int:
    count: int = site.rows(
        "select count(*) from attempts t join agents a on a.id = t.agent_id"
        f" where a.name = '{agent.name}' and t.closed is null"
    )[0][0]
    return count


def _is_online(site: Site, agent: Agent) -> bool:
    return bool(site.rows(f"select 1 from agents where name = '{agent.name}' and status = 'ONLINE'"))


def _left(site: Site) -> int:
    count: int = site.rows("select count(*) from flow_runs where state_type = 'SCHEDULED'")[0][0]
    return count
