"""Time limits: runs that take too long are ended, by the server or by the shim alone (decision 13)."""

from __future__ import annotations

import time
from random import Random
from uuid import UUID

from tests.chaos.frame import Counts, Row
from tests.chaos.site import MARKING, Agent, Mark, Site, alive, until

MAX_RUN, GRACE = 3, 1  # seconds
LOOKS_EVERY = 1.0  # the server; the shim alone waits one margin longer than it
NOTICED = 2.0  # on top, until the process is seen gone

LONG = f"""{MARKING}
import signal

@flow
def main(marks: str, is_deaf: bool):
    if is_deaf:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    mark(marks, "begin")
    time.sleep(1000)
"""
ENDS = (("fail", "Failed"), ("cancel", "Cancelled"))


def keeps_time_limits(site: Site, dice: Random, counts: Counts) -> Row:
    """Let runs take too long: with everybody there, with agent and server dead, and without any agent."""
    row = Row()
    site.open()
    for then, ends in ENDS[: counts.scaled(2, 1)]:
        deployment = site.deploy(LONG, "main", f"--max-run={MAX_RUN}s:{then}", f"--job=grace_seconds={GRACE}")
        _count(site, row, counts, deployment, ends, with_shim_alone=False)
        _count(site, row, counts, deployment, ends, with_shim_alone=True)
    _count_unstarted(site, row, counts.trials(50, 1))
    return row


def _count(
    site: Site, row: Row, counts: Counts, deployment: str, ends: str, *, with_shim_alone: bool
) -> None:
    total = counts.trials(100, 2)
    known = {mark.run_id for mark in site.marked()}
    site.employ(Agent("agent", ("--limit", str(total))))
    runs = [run_id for n in range(total) for run_id in site.begin(deployment, 1, is_deaf=bool(n % 2))]
    until("all runs to begin", lambda: len(site.marked()) == len(known) + total)
    marks = [mark for mark in site.marked() if mark.run_id not in known]
    if with_shim_alone:
        site.kill("agent")
        site.kill("server")
    longest = _until_gone(marks)
    who = "the shim alone" if with_shim_alone else "the server"
    extra = 0.1 * site.lease if with_shim_alone else LOOKS_EVERY
    limit = MAX_RUN + GRACE + extra + NOTICED
    row.trials += total
    row.expect(longest <= limit, f"{who}: a run lived for {longest:.1f} s")
    row.figures[f"longest by {who}"] = f"{longest:.1f} s"
    if with_shim_alone:
        site.start_server()
        site.employ(Agent("agent"))
    site.until_final(runs)
    _judge(site, row, runs, ends, f"It ran longer than its limit of {MAX_RUN} s.")
    site.stop("agent")


def _count_unstarted(site: Site, row: Row, total: int) -> None:
    """Have nobody take runs that must start soon."""
    deployment = site.deploy(LONG, "main", "--must-start-by=1s:cancel")
    runs = site.begin(deployment, total, is_deaf=False)
    site.until_final(runs)
    row.trials += total
    _judge(site, row, runs, "Cancelled", "It did not start within 1 s of when it was due.")


def _judge(site: Site, row: Row, runs: list[UUID], ends: str, sentence: str) -> None:
    for run_id in runs:
        outcome = site.outcome(run_id)
        said = (outcome.state, outcome.message)
        row.expect(said == (ends, sentence), f"{run_id} is {said}, not {(ends, sentence)}")


def _until_gone(marks: list[Mark]) -> float:
    """Wait until processes are gone; return how many seconds the last one had lived since it began."""
    living = {mark.pid: mark for mark in marks}
    longest = 0.0
    deadline = time.time() + 60
    while living and time.time() < deadline:
        for pid in [pid for pid in living if not alive(pid)]:
            longest = max(longest, time.time() - living.pop(pid).at)
        time.sleep(0.02)
    return longest if not living else float("inf")
