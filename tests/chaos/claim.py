"""Claim: agents die at random and answers are lost, and each due run is executed, once (protocol §2, §6)."""

from __future__ import annotations

import time
from collections import Counter
from random import Random

from tests.chaos.frame import Counts, Row
from tests.chaos.site import BRIEF, Agent, Site

LOST_ANSWERS = 0.05
LONGEST_SWEEP = 2.0  # seconds: the reaper looks every second, on a busy machine

# How long attempts were claimed and nothing more. After its launch a run is Pending as long as its process
# needs to say Running, and on a busy machine that is no promise of ours.
NOT_LAUNCHED = (
    "case when started < launched then started else coalesce(launched, started, closed) end - opened"
)
UNLAUNCHED = f"select max({NOT_LAUNCHED}) from attempts"
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
    unlaunched, pending = (site.rows(sql)[0][0] / 1e6 for sql in (UNLAUNCHED, PENDING))
    longest = site.lease + site.grace + LONGEST_SWEEP
    if not row.expect(unlaunched <= longest, f"a run was claimed and not launched for {unlaunched:.1f} s"):
        worst = site.rows(f"select flow_run_id from attempts order by {NOT_LAUNCHED} desc limit 1")[0][0]
        row.notes += site.story(worst)
    row.figures = {
        "agents": str(len(agents)),
        "agents killed": str(kills),
        "answers dropped": str(line.dropped),
        "longest not launched": f"{unlaunched:.1f} s",
        "longest Pending": f"{pending:.1f} s",
        "runs a second": f"{row.trials / seconds:.1f}",
    }
    return row
