"""Claim: agents die at random and answers are lost, and each due run is executed, once (protocol §2, §6)."""

from __future__ import annotations

import re
import time
from collections import Counter
from datetime import datetime
from random import Random

from tests.chaos.frame import Counts, Row
from tests.chaos.site import BRIEF, Agent, Site

LOST_ANSWERS = 0.05
LONGEST_SWEEP = 2.0  # seconds: the reaper looks every second, on a busy machine

RETURNED = "select lease_until, closed from attempts where state = 'RETURNED'"
# What an agent does not know is taken from it when it starts. At other times it is told again.
TAKEN = """
select count(*) from attempts t where state = 'RETURNED' and cause = 'its agent never received it'
and not exists (
    select 1 from events e where e.agent_id = t.agent_id and e.kind = 'agent.started' and e.at = t.closed
)
"""
# What the server says of the times in which it could not hear: they are added to leases.
GAP = re.compile(r"no renewals could be heard for ([\d.]+) s until (\S+);")
PENDING = """
select max(next - timestamp) from (
    select type, timestamp, lead(timestamp) over (partition by flow_run_id order by cursor) as next
    from flow_run_states
) as entered where type = 'PENDING'
"""


def keeps_claim(site: Site, dice: Random, counts: Counts) -> Row:
    """Every due run completes, no attempt starts user code twice, none waits in Pending for ever."""
    row = Row(trials=counts.trials(5000, 20))
    site.open()
    runs = site.begin(site.deploy(BRIEF), row.trials)
    line = site.line(dice)
    line.loss = LOST_ANSWERS
    agents = [
        Agent(f"agent-{number}", ("--limit", "2"), url=line.url) for number in range(counts.scaled(20, 3))
    ]
    began = time.monotonic()
    kills = site.kill_at_random(agents, dice, lambda: site.ended() >= 0.9 * row.trials)
    row.expect(site.settles(120 + row.trials), "not all runs ended")
    row.expect(site.states() == {"Completed": row.trials}, f"not all runs completed: {site.states()}")
    seconds = time.monotonic() - began

    starts = Counter(mark.run_id for mark in site.marked())
    attempts = Counter(mark.attempt_id for mark in site.marked())
    for run_id in runs:
        row.expect(starts[run_id] == 1, f"run {run_id} was started {starts[run_id]} times")
    for attempt_id, times in attempts.items():
        row.expect(times == 1, f"attempt {attempt_id} started user code {times} times")
    taken = site.rows(TAKEN)[0][0]
    row.expect(not taken, f"{taken} runs were taken from agents that would have been told of them again")
    gaps = _gaps(site)
    overdue = max((_overdue(site, gaps, *one) for one in site.rows(RETURNED)), default=0.0)
    latest = site.grace + LONGEST_SWEEP
    row.expect(overdue <= latest, f"a run stayed Pending for {overdue:.1f} s after the end of its lease")
    pending = site.rows(PENDING)[0][0] / 1e6
    row.figures = {
        "agents": str(len(agents)),
        "agents killed": str(kills),
        "answers dropped": str(line.dropped),
        "returned after its lease by": f"{overdue:.1f} s",
        "gaps": f"{sum(end - start for start, end in gaps):.1f} s",
        "longest Pending": f"{pending:.1f} s",
        "runs a second": f"{row.trials / seconds:.1f}",
    }
    return row


def _gaps(site: Site) -> list[tuple[float, float]]:
    """Return when the server could not hear, by its own word: begin and end in seconds since 1970."""
    ended = [(float(length), datetime.fromisoformat(end)) for length, end in GAP.findall(site.log("server"))]
    return [(end.timestamp() - length, end.timestamp()) for length, end in ended]


def _overdue(site: Site, gaps: list[tuple[float, float]], lease_until: int, closed: int) -> float:
    """Return how long after its lease, which counts from the agent's last sign, an attempt came back.

    Gaps since that sign are left out: seconds.
    """
    sign, end = lease_until / 1e6 - site.lease, closed / 1e6
    missed = sum(max(0.0, min(gap[1], end) - max(gap[0], sign)) for gap in gaps)
    return end - sign - site.lease - missed
