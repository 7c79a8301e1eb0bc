"""What a promise is to a harness that counts: how much, with what dice, and what came of it."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

from tests.chaos.site import Site
from tests.conftest import postgres_database

FORKED = 0.4  # the least share of runs that templates fork; after the death of a shim the next one is cold
MANY = 50  # of so many launches on: few are an agent's first, which is started cold

Databases = Callable[[Path], Iterator[str]]


@dataclass(frozen=True)
class Counts:
    """How much of everything. A promise names its full count, and the least by which it can still fail.

    ``scale`` 1 asks for the full counts, 0 for the least: the short form of scripts/test. ``count`` is asked
    for by name, and replaces the count of trials alone.
    """

    scale: float = 1.0
    count: int | None = None

    def trials(self, full: int, least: int) -> int:
        """Return how often to try."""
        return self.count if self.count is not None else self.scaled(full, least)

    def scaled(self, full: int, least: int) -> int:
        """Return any other amount: agents, kills, seconds."""
        return max(least, round(full * self.scale))


SHORT = Counts(scale=0)


@dataclass
class Row:
    """What was counted. Each failure is a sentence; a figure is a number with its unit, for people."""

    trials: int = 0
    failures: list[str] = field(default_factory=list)
    figures: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def expect(self, holds: object, otherwise: str) -> bool:
        """Count a failure unless something holds; return whether it does."""
        if not holds:
            self.failures.append(otherwise)
        return bool(holds)


Promise = Callable[[Site, Random, Counts], Row]

_NOT_PROMISES = {"frame", "main", "mutants", "proxy", "site", "test_promises"}


def names() -> list[str]:
    """Return all promises: the modules of this folder that are no part of the frame."""
    found = (module.name for module in pkgutil.iter_modules([str(Path(__file__).parent)]))
    return sorted(name for name in found if name not in _NOT_PROMISES)


def keep(promise: str, database_url: str, *, seed: int, counts: Counts, source: Path | None = None) -> Row:
    """Put one promise to the test on one database, in a house of its own that nothing survives.

    ``source``: the folder of the reeve to test, where it is not the one that is installed.
    """
    module = importlib.import_module(f"tests.chaos.{promise}")
    run: Promise = getattr(module, f"keeps_{promise}")
    with TemporaryDirectory(prefix="reeve-chaos-") as folder:
        site = Site(Path(folder), database_url, source, **getattr(module, "SETTINGS", {}))
        try:
            row = run(site, Random(f"{seed} {promise}"), counts)
            _count_forks(site, row, must=source is None)  # a mutant is to be caught for what it lacks
            return row
        finally:
            site.close()


def _count_forks(site: Site, row: Row, *, must: bool) -> None:
    """Say how many runs were forked; where many ``must`` be, cold starts alone say too little."""
    forked, launched = site.forks()
    row.figures["forked"] = f"{forked} of {launched}"
    if must and launched >= MANY:
        row.expect(forked >= FORKED * launched, f"only {forked} of {launched} runs were forked")


@contextmanager
def fresh_database(kind: str, cluster_url: str | None) -> Iterator[str]:
    """Give a new, empty database of a kind, and take it away again."""
    if kind == "sqlite":
        with TemporaryDirectory(prefix="reeve-chaos-") as folder:
            yield f"sqlite:///{folder}/reeve.db"
        return
    assert cluster_url is not None
    with postgres_database(cluster_url) as url:
        yield url
