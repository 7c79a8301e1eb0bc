"""Mutants: a copy of reeve with one mechanism switched off, which the promise named here must notice.

A patch of the copy, not a switch in the code: what is not there cannot be left on.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.chaos.frame import SHORT, Counts

SOURCE = Path(__file__).parents[2] / "src"


@dataclass(frozen=True)
class Mutant:
    """What is off, by which edits of ``file`` (each text stands once), and who notices, on which databases.

    ``counts``: how much of the promise it takes, unless asked for otherwise.
    """

    what: str
    promise: str
    file: str
    edits: tuple[tuple[str, str], ...]
    databases: tuple[str, ...] = ("sqlite", "postgres")
    counts: Counts = SHORT


MUTANTS: dict[str, Mutant] = {
    "fence": Mutant(
        "the token of an attempt that is over writes like that of the open one",
        "fence",
        "reeve/server/services/fence.py",
        (("return Holding(attempt, Caller.SUPERSEDED)", "return Holding(attempt, Caller.HOLDER)"),),
    ),
    "lease-end": Mutant(
        "a shim that cannot renew leaves its runs alone where another agent will start them",
        "fence",
        "reeve/drivers/process/lease.py",
        (
            (
                "return self.replace and now >= self.sent_at + self.seconds - self.margin",
                "return False",
            ),
        ),
    ),
    "shim-limit": Mutant(
        "only the server ends what runs too long",
        "time_limits",
        "reeve/drivers/process/shim.py",
        (("elif run.deadline and now >= run.deadline:", "elif False:"),),
    ),
    "pending-limit": Mutant(
        "a run that is claimed may take for ever to begin",
        "time_limits",
        "reeve/core/time_limits.py",
        (("return _deadline(self.max_pending, since, ", "return _deadline(None, since, "),),
    ),
    "one-poll": Mutant(
        "an older poll stays open beside a newer one of the same agent",
        "identity",
        "reeve/server/services/agents.py",
        (
            ("superseded = not ctx.presence.is_newest(agent_id, body.epoch, body.seq)", "superseded = False"),
            ("if not ctx.presence.is_newest(agent.id, body.epoch, body.seq):", "if False:"),
        ),
    ),
    "census": Mutant(
        "a run is taken for gone when its main process is",
        "cancel",
        "reeve/drivers/process/shim.py",
        (
            (
                "for one in ending if one.main_gone and exact and one.attempt not in orphans",
                "for one in ending if one.main_gone",
            ),
        ),
    ),
    "limit-lock": Mutant(
        "limits are counted without being locked",
        "limits",
        "reeve/server/storage/claims.py",
        (
            ("from work_pools where id = $1 for no key update", "from work_pools where id = $1"),
            ("from work_queues where id = $1 for no key update", "from work_queues where id = $1"),
            ("order by deployment_id for no key update", "order by deployment_id"),
        ),
        databases=("postgres",),  # the one writer of SQLite is its lock
        counts=Counts(scale=0.3, count=90),
    ),
    "journal": Mutant(
        "the agent's journal forgets everything",
        "death",
        "reeve/agent/journal.py",
        (
            (
                "        done = asyncio.get_running_loop().create_future()\n",
                "        if then is not None:\n            then()\n        return\n",
            ),
        ),
    ),
    "give-back": Mutant(
        "what is granted to an agent that stops is launched all the same",
        "drain",
        "reeve/agent/course.py",
        (("if not (self._resumed or self._is_launching or self.entry.handle):", "if False:"),),
    ),
    "acknowledgement": Mutant(
        "a grant counts as received whether or not its agent has said so",
        "claim",
        "reeve/server/services/agents.py",
        (
            (
                "acknowledged = [attempt for attempt in known if attempt.grant <= body.acked_grant]",
                "acknowledged = list(known)",
            ),
        ),
        counts=Counts(scale=0, count=100),
    ),
    "savepoint": Mutant(
        "a transaction that fails leaves in its batch what it has written",
        "limits",
        "reeve/server/storage/dialects/sqlite.py",
        (('self._writer.execute("rollback to job")', "pass"),),
        databases=("sqlite",),  # PostgreSQL has a transaction for each
    ),
    "spool-limit": Mutant(
        "runs print on, whatever room there is in the spool",
        "logs",
        "reeve/drivers/process/spool.py",
        (
            (
                "return size if self.until is None else max(0, min(size, self.until - self.written))",
                "return size",
            ),
        ),
    ),
    "gap": Mutant(
        "a server that slept holds against its agents that it heard nothing",
        "outage",
        "reeve/server/loops/reaper.py",
        (
            (
                "slack = self.hearing.missed(_last_sign(attempt, attempt.lease_until, terms))",
                "slack = timedelta()",
            ),
        ),
        counts=Counts(scale=0.01),
    ),
    "restart-grace": Mutant(
        "a server that starts reaps at once",
        "outage",
        "reeve/server/loops/reaper.py",
        (
            (
                "if self.hearing.total < timedelta(seconds=self.ctx.terms.lease):",
                "if False:",
            ),
        ),
    ),
}


def patched(mutant: Mutant) -> str:
    """Return the file as the mutant has it. Raises ValueError when it no longer fits the code."""
    text = (SOURCE / mutant.file).read_text()
    for old, new in mutant.edits:
        if text.count(old) != 1:
            raise ValueError(f"{mutant.file} has {text.count(old)} times, not once: {old!r}")
        text = text.replace(old, new)
    return text


@contextmanager
def source(name: str | None) -> Iterator[Path | None]:
    """Give the folder of a reeve with this mutation; None for the one that is installed."""
    if name is None:
        yield None
        return
    mutant = MUTANTS[name]
    with TemporaryDirectory(prefix="reeve-mutant-") as folder:
        copy = Path(folder) / "src"
        shutil.copytree(SOURCE, copy, ignore=shutil.ignore_patterns("__pycache__"))
        (copy / mutant.file).write_text(patched(mutant))
        yield copy
