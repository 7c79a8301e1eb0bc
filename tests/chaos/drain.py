"""Drain: agents that are told to stop give back what they have not begun, and finish the rest (A161)."""

from __future__ import annotations

import time
from collections import Counter
from random import Random

from tests.chaos.frame import Counts, Row
from tests.chaos.site import BRIEF, Agent, Site, until

DRAIN = 30.0  # seconds; no run takes as long
LONGEST_RUN = 2.0  # seconds


def keeps_drain(site: Site, dice: Random, counts: Counts) -> Row:
    """Restart agents one after another under load: each ends in order, and no run fails or runs twice."""
    row = Row(trials=counts.trials(400, 12))
    site.open()
    deployment = site.deploy(BRIEF)
    options = ("--limit", "2", "--drain-timeout", f"{DRAIN:g}")
    agents = [Agent(f"agent-{number}", options) for number in range(counts.scaled(5, 2))]
    for agent in agents:
        site.employ(agent)
    site.registered(len(agents))  # one that has only begun to start knows no signals yet
    runs = [
        run_id
        for _ in range(row.trials)
        for run_id in site.begin(deployment, 1, seconds=dice.uniform(0, LONGEST_RUN))
    ]
    restarts, longest = 0, 0.0
    while restarts < len(agents) or _left(site) > row.trials // 4:
        agent = agents[restarts % len(agents)]
        longest = max(longest, _restart(site, row, agent))
        restarts += 1
    row.expect(site.settles(60 + row.trials), "not all runs ended")
    row.expect(site.states() == {"Completed": row.trials}, f"not all runs completed: {site.states()}")
    starts = Counter(mark.run_id for mark in site.marked())
    for run_id in runs:
        row.expect(starts[run_id] == 1, f"{run_id} was started {starts[run_id]} times")
    row.figures = {"restarts": str(restarts), "longest drain": f"{longest:.1f} s"}
    return row


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
