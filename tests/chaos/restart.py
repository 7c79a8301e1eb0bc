"""Restart: an agent dies at each step of a run, the next one adopts or ends what it left (protocol §9)."""

from __future__ import annotations

import shutil
import signal
from collections import Counter
from contextlib import suppress
from pathlib import Path
from random import Random
from uuid import UUID

from tests.chaos.frame import Counts, Row
from tests.chaos.mutants import SOURCE
from tests.chaos.site import BRIEF, Agent, Site, until

from reeve.agent.faults import POINTS


def keeps_restart(site: Site, dice: Random, counts: Counts) -> Row:
    """Kill agents at named points of a run's course, and start them again; then upgrade one under load."""
    row = Row()
    site.open()
    deployment = site.deploy(BRIEF)
    for _ in range(counts.trials(15, 1)):
        _kill_at_each_point(site, row, dice, deployment)
    _upgrade(site, row, deployment, counts.trials(200, 6))
    return row


def _kill_at_each_point(site: Site, row: Row, dice: Random, deployment: str) -> None:
    runs = {
        point: site.begin(deployment, 1, queue=point, seconds=dice.choice((0.0, 0.5, 2.0)))[0]
        for point in POINTS
    }
    for point in POINTS:
        site.employ(Agent(point, queues=(point,)), REEVE_FAULT=point)
    for point in POINTS:
        code = site.processes.pop(point).wait(60)
        row.expect(code == -signal.SIGKILL, f"{point}: the agent ended with {code}")
        site.employ(Agent(point, queues=(point,)))
    site.until_final(list(runs.values()))
    starts = Counter(mark.run_id for mark in site.marked())
    for point, run_id in runs.items():
        row.trials += 1
        outcome = site.outcome(run_id)
        row.expect(outcome.state == "Completed", f"{point}: {outcome.state}: {outcome.message}")
        row.expect(starts[run_id] == 1, f"{point}: user code was started {starts[run_id]} times")
        site.stop(point)


def _upgrade(site: Site, row: Row, deployment: str, total: int) -> None:
    """Have an agent of another version take the place of one that is killed amid its runs."""
    agent = Agent("upgraded", ("--limit", "4"), queues=("upgraded",))
    site.employ(agent)
    runs = site.begin(deployment, total, queue="upgraded", seconds=1.0)
    until("some runs", lambda: _begun(site, runs) >= min(4, total))
    site.kill(agent.name)
    site.employ(agent, PYTHONPATH=str(_newer(site.root)))
    site.until_final(runs)
    starts = Counter(mark.run_id for mark in site.marked())
    row.trials += total
    for run_id in runs:
        outcome = site.outcome(run_id)
        row.expect(outcome.state == "Completed", f"upgrade: {outcome.state}: {outcome.message}")
        row.expect(starts[run_id] == 1, f"upgrade: user code was started {starts[run_id]} times")


def _begun(site: Site, runs: list[UUID]) -> int:
    return sum(mark.run_id in runs for mark in site.marked())


def _newer(root: Path) -> Path:
    """Return a reeve of another version: a shim belongs to the files it was started from."""
    copy = root / "newer"
    with suppress(FileExistsError):
        shutil.copytree(SOURCE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    for file in (copy / "reeve" / "drivers" / "process").glob("*.py"):
        file.touch()
    return copy
