"""Cancel: at any moment, of runs that do all to survive it; what is Cancelled is gone (protocol §8)."""

from __future__ import annotations

import time
from functools import partial
from random import Random
from uuid import UUID

from tests.chaos.frame import Counts, Row
from tests.chaos.site import MARKING, Agent, Site, until

from reeve.wire import endpoints, requests

GRACE = 1  # seconds
ON_TOP = 2.0  # seconds on top of it
LONGEST_WAIT = 3.0  # seconds from asking for a run to its cancellation, for the half that need not run

# Every process ticks: the last tick is when it died, whatever reeve says.
CLINGING = f"""{MARKING}
import signal, sys

def tick_for_ever(marks: str) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while True:
        mark(marks + ".ticks", "tick")
        time.sleep(0.05)

@flow
def main(marks: str, is_deaf: bool):
    mark(marks, "begin")
    if os.fork() == 0:  # a child in a session of its own
        os.setsid()
        tick_for_ever(marks)
    if os.fork() == 0:  # a child that forks again and ends: nobody's child
        if os.fork() == 0:
            os.setsid()
            tick_for_ever(marks)
        os._exit(0)
    if is_deaf:
        tick_for_ever(marks)
    time.sleep(1000)  # it ends when it is asked to, before its children do
"""


def keeps_cancel(site: Site, dice: Random, counts: Counts) -> Row:
    """Cancel runs at random moments: waiting, claimed, starting, running; each ends, and nothing survives."""
    row = Row(trials=counts.trials(300, 6))
    site.open()
    deployment = site.deploy(CLINGING, "main", f"--job=grace_seconds={GRACE}")
    width = counts.scaled(12, 3)
    site.employ(Agent("agent", ("--limit", str(width))))
    site.registered(1)
    runs: list[UUID] = []
    while len(runs) < row.trials:
        size = min(width, row.trials - len(runs))
        # By turns, in both halves: chance may leave out those whose children outlive them.
        kinds = [number // 2 % 2 == 0 for number in range(len(runs), len(runs) + size)]
        group = [site.begin(deployment, 1, is_deaf=kind)[0] for kind in kinds]
        runs += group
        _cancel_at_random(site, dice, group)
        site.until_final(group)
    for run_id in runs:
        left = site.members(str(run_id))
        row.expect(not left, f"{run_id}: {len(left)} processes survive")
        site.kill_pids(left)
    ticks = site.marked("tick", site.root / "marks.ticks")
    longest = 0.0
    for run_id in runs:
        longest = max(longest, _judge(site, row, run_id, [t.at for t in ticks if t.run_id == run_id]))
    row.figures = {
        "cancelled while they ran": str(len({tick.run_id for tick in ticks})),
        "longest from the wish to the end": f"{longest:.1f} s",
    }
    return row


def _cancel_at_random(site: Site, dice: Random, runs: list[UUID]) -> None:
    """Cancel one half at any moment from its request on, the other when user code runs for sure."""
    early, late = runs[1::2], runs[::2]
    for run_id in early:
        time.sleep(dice.uniform(0, 2 * LONGEST_WAIT / len(runs)))
        site.client.call(endpoints.cancel_flow_run, requests.CancelRun(), id=run_id)
    for run_id in late:
        until("it to run", partial(_runs, site, run_id))
        time.sleep(dice.uniform(0, 0.5))
        site.client.call(endpoints.cancel_flow_run, requests.CancelRun(), id=run_id)


def _runs(site: Site, run_id: UUID) -> bool:
    return any(mark.run_id == run_id for mark in site.marked("tick", site.root / "marks.ticks"))


def _judge(site: Site, row: Row, run_id: UUID, ticks: list[float]) -> float:
    """Judge one run; return the seconds from the wish to cancel it to its end."""
    states = site.rows(
        f"select name, timestamp from flow_run_states where flow_run_id = '{run_id}' order by cursor"
    )
    names = [name for name, _ in states]
    ends = {name: at / 1e6 for name, at in states}
    if not row.expect(names[-1] == "Cancelled", f"{run_id}: {' → '.join(names)}"):
        return 0.0
    early = max(ticks, default=0.0) - ends["Cancelled"]
    row.expect(early <= 0, f"{run_id} was Cancelled {early:.2f} s too early")
    seconds: float = ends["Cancelled"] - ends.get("Cancelling", ends["Cancelled"])
    row.expect(seconds <= GRACE + ON_TOP, f"{run_id} was Cancelling for {seconds:.1f} s")
    return seconds
