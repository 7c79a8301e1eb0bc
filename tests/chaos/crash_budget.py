"""Crash budget: runs whose process dies are started again as often as they may be; some never again."""

from __future__ import annotations

import os
import signal
from functools import partial
from itertools import pairwise
from random import Random
from uuid import UUID

from tests.chaos.death import parent
from tests.chaos.frame import Counts, Row
from tests.chaos.site import MARKING, Agent, Mark, Site, until

DELAY = 1.0  # seconds

FRAGILE = f"""{MARKING}
@flow
def main(marks: str, code: int = -1):
    mark(marks, "begin")
    if code >= 0:
        os._exit(code)
    while not Path(marks + ".go").exists():
        time.sleep(0.1)
"""


def keeps_crash_budget(site: Site, dice: Random, counts: Counts) -> Row:
    """Kill runs, alone and with their shim, and count how often they are started."""
    row = Row()
    site.open()
    site.employ(Agent("agent"))
    budget = ("--crash-retries=2", f"--crash-retry-delay={DELAY:g}")
    for _ in range(counts.trials(30, 1)):
        _killed(site, row, site.deploy(FRAGILE, "main", *budget))
        _wrong_reason(site, row, site.deploy(FRAGILE, "main", *budget, "--crash-retry-on=signal"))
        _quarantined(site, row, site.deploy(FRAGILE, "main", "--crash-retries=9"))
    return row


def _killed(site: Site, row: Row, deployment: str) -> None:
    """A run that is killed each time uses its budget up, with its delay between the lives."""
    run_id = _kill_each_life(site, deployment, 3, with_shim=False)
    outcome, starts = site.outcome(run_id), _starts(site, run_id)
    row.trials += 1
    row.expect(outcome.state == "Crashed" and "SIGKILL" in outcome.message, f"killed: {outcome}")
    row.expect(len(starts) == 3, f"killed: started {len(starts)} times with a budget of 2")
    gaps = [later.at - earlier.at for earlier, later in pairwise(starts)]
    row.expect(min(gaps) >= DELAY, f"killed: started again after {min(gaps):.2f} s")


def _wrong_reason(site: Site, row: Row, deployment: str) -> None:
    """A crash of a kind that does not count is final."""
    (run_id,) = site.begin(deployment, 1, code=3)
    site.until_final([run_id])
    row.trials += 1
    row.expect(site.outcome(run_id).state == "Crashed", f"wrong reason: {site.outcome(run_id)}")
    row.expect(len(_starts(site, run_id)) == 1, "wrong reason: started again")


def _quarantined(site: Site, row: Row, deployment: str) -> None:
    """A run that takes its shim down with it, three times, is not started again."""
    run_id = _kill_each_life(site, deployment, 3, with_shim=True)
    outcome, starts = site.outcome(run_id), _starts(site, run_id)
    row.trials += 1
    row.expect(len(starts) == 3, f"quarantine: started {len(starts)} times")
    row.expect("Quarantined" in outcome.message, f"quarantine: {outcome.state}: {outcome.message}")


def _kill_each_life(site: Site, deployment: str, lives: int, *, with_shim: bool) -> UUID:
    (run_id,) = site.begin(deployment, 1)
    for life in range(1, lives + 1):
        until(f"life {life}", partial(_has_begun, site, run_id, life))
        pid = _starts(site, run_id)[-1].pid
        os.kill(parent(pid) if with_shim else pid, signal.SIGKILL)
    site.until_final([run_id])
    return run_id


def _has_begun(site: Site, run_id: UUID, life: int) -> bool:
    return len(_starts(site, run_id)) == life


def _starts(site: Site, run_id: UUID) -> list[Mark]:
    return [mark for mark in site.marked() if mark.run_id == run_id]
