"""Claim: agents die at random and answers are lost, and each due run is executed, once (protocol §2, §6)."""

from __future__ import annotations

import time
from collections import Counter
from random import Random

from tests.chaos.frame import Counts, Row
from tests.chaos.site import BRIEF, Agent, Site

LOST_ANSWERS = 0.05
LONGEST_SWEEP = 2.0  # seconds: the reaper looks every second, on a busy machine

# How long after its lease, which counts from the agent's last sign, what was not launched came back.
OVERDUE = "select coalesce(max(closed - lease_until), 0) from attempts where state = 'RETURNED'"
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
    kills = site.kill_at_random(agents, dice, lambda: len(site.marked()) >= 0.9 * row.trials)
    row.expect(site.settles(120 + row.trials), "not all runs ended")
    row.expect(site.states() == {"Completed": row.trials}, f"not all runs completed: {site.states()}")
    seconds = time.monotonic() - began

    starts = Counter(mark.run_id for mark in site.marked())
    attempts = Counter(mark.attempt_id for mark in site.marked())
    for run_id in runs:
        row.expect(starts[run_id] == 1, f"run {run_id} was started {starts[run_id]} times")
    for attempt_id, times in attempts.items():
        row.expect(times == 1, f"attempt {attempt_id} started user code {times} times")
    overdue, pending = (site.rows(sql)[0][0] / 1e6 for sql in (OVERDUE, PENDING))
    latest = site.grace + LONGEST_SWEEP
    row.expect(overdue <= latest, f"a run stayed Pending for {overdue:.1f} s after the end of its lease")
    row.figures = {
        "agents": str(len(agents)),
        "agents killed": str(kills),
        "answers dropped": str(line.dropped),
        "returned after its lease by": f"{overdue:.1f} s",
        "longest Pending": f"{pending:.1f} s",
        "runs a second": f"{row.trials / seconds:.1f}",
    }
    return row
