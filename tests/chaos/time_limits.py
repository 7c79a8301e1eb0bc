"""Time limits: runs that take too long are ended, by the server or by the shim alone (decision 13).

What follows is counted too: fail, cancel, or retry while the crash budget lasts.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
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

@flow
def retried(marks: str):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    mark(marks, "again")
    time.sleep(1000)
"""
# Its process is there, and never comes to say Running. An import has no parameters: it marks beside its file.
LOADING = f"""{MARKING}
if "REEVE_ATTEMPT" in os.environ:
    mark(str(Path(__file__).parents[1] / "marks"), "load")
    time.sleep(1000)

@flow
def loads(marks: str):
    mark(marks, "end")
"""
ENDS = (("fail", "Failed"), ("cancel", "Cancelled"))
MAX_PENDING = 3  # seconds; a process must be there before they are over
RAN_LONGER = f"It ran longer than its limit of {MAX_RUN} s."


@dataclass(frozen=True)
class Limited:
    """Runs of one deployment with a limit, and what must become of each."""

    runs: list[UUID]
    word: str  # with which each life of a run marks that it is there
    lives: int
    ends: str
    sentence: str


def keeps_time_limits(site: Site, dice: Random, counts: Counts) -> Row:
    """Let runs take too long: with everybody there, with agent and server dead, and without any agent."""
    row = Row()
    site.open()
    site.employ(Agent("limited", ("--limit", "50"), queues=("limited",)))
    groups = _begin_limited(site, counts.trials(20, 1))
    _count_unstarted(site, row, counts.trials(50, 1))
    for group in groups:  # before a hundred runs begin at once, which keep this machine busy
        _judge_limited(site, row, group)
    endings = ENDS[: counts.scaled(2, 1)]
    for then, ends in endings:
        _count(site, row, counts, _long(site, then), ends, with_shim_alone=False)
    for then, ends in endings:
        _count(site, row, counts, _long(site, then), ends, with_shim_alone=True)
    return row


def _long(site: Site, then: str) -> str:
    return site.deploy(LONG, "main", f"--max-run={MAX_RUN}s:{then}", f"--job=grace_seconds={GRACE}")


def _begin_limited(site: Site, each: int) -> list[Limited]:
    """Begin runs that are not Running in time, and some that run too long and are retried once."""
    late = f"It was not Running within {MAX_PENDING} s of its claim."
    kinds = [
        (LOADING, "loads", f"--max-pending={MAX_PENDING}s:{then}", "load", 1, ends, late)
        for then, ends in ENDS
    ]
    kinds += [
        (LOADING, "loads", f"--max-pending={MAX_PENDING}s:retry", "load", 2, "Failed", late),
        (LONG, "retried", f"--max-run={MAX_RUN}s:retry", "again", 2, "Failed", RAN_LONGER),
    ]
    groups = []
    for source, flow, limit, word, lives, ends, sentence in kinds:
        budget = ("--crash-retries=1", "--crash-retry-delay=0.1") if lives == 2 else ()
        file = "loading.py" if source is LOADING else "flows.py"
        deployment = site.deploy(source, flow, limit, f"--job=grace_seconds={GRACE}", *budget, file=file)
        runs = site.begin(deployment, each, queue="limited")
        _until_there(site, runs, word)
        groups.append(Limited(runs, word, lives, ends, sentence))
    return groups


def _judge_limited(site: Site, row: Row, group: Limited) -> None:
    site.until_final(group.runs)
    _judge(site, row, group.runs, group.ends, group.sentence)
    for run_id in group.runs:
        row.trials += 1
        attempts, lives = _attempts(site, run_id), _lives(site, run_id, group.word)
        row.expect(len(attempts) == group.lives, f"{group.sentence} It had {len(attempts)} attempts")
        row.expect(lives <= group.lives, f"{group.sentence} It had {lives} lives")
        row.expect(not site.members(str(run_id)), f"{run_id}: a process survives")
        longest = max(closed - opened for opened, closed in attempts)
        limit = MAX_PENDING + GRACE + LOOKS_EVERY + NOTICED
        if not row.expect(longest <= limit, f"{group.sentence} It was held for {longest:.1f} s"):
            row.notes += [f"{run_id}: {line}" for line in site.story(run_id)]


def _lives(site: Site, run_id: UUID, word: str) -> int:
    return sum(mark.run_id == run_id for mark in site.marked(word))


def _attempts(site: Site, run_id: UUID) -> list[tuple[float, float]]:
    """Return when each attempt was opened and closed."""
    found = site.rows(f"select opened, closed from attempts where flow_run_id = '{run_id}'")
    return [(opened / 1e6, closed / 1e6) for opened, closed in found]


def _count(
    site: Site, row: Row, counts: Counts, deployment: str, ends: str, *, with_shim_alone: bool
) -> None:
    total = counts.trials(100, 2)
    site.employ(Agent("agent", ("--limit", str(total))))
    runs = [run_id for n in range(total) for run_id in site.begin(deployment, 1, is_deaf=bool(n % 2))]
    _until_there(site, runs, "begin")
    marks = [mark for mark in site.marked() if mark.run_id in runs]
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
    _judge(site, row, runs, ends, RAN_LONGER)
    site.stop("agent")


def _until_there(site: Site, runs: list[UUID], word: str) -> None:
    """Wait for the first mark of each; one that a busy machine was too slow for is ended before it."""
    until(
        "all of them to be there, or to have ended",
        lambda: {mark.run_id for mark in site.marked(word)} | site.ended_of(runs) >= set(runs),
    )


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
