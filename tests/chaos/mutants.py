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

SOURCE = Path(__file__).parents[2] / "src"
BOTH = ("sqlite", "postgres")


@dataclass(frozen=True)
class Mutant:
    """What is off, by which edit (``old`` stands once in ``file``), and who notices, on which databases."""

    what: str
    promise: str
    file: str
    old: str
    new: str
    databases: tuple[str, ...] = BOTH


MUTANTS: dict[str, Mutant] = {
    "acknowledgement": Mutant(
        "a grant counts as received whether or not its agent has said so",
        "claim",
        "reeve/server/services/agents.py",
        "acknowledged = [attempt for attempt in known if attempt.grant <= body.acked_grant]",
        "acknowledged = list(known)",
    ),
}


def patched(mutant: Mutant) -> str:
    """Return the file as the mutant has it. Raises ValueError when it no longer fits the code."""
    text = (SOURCE / mutant.file).read_text()
    if text.count(mutant.old) != 1:
        raise ValueError(f"{mutant.file} has {text.count(mutant.old)} times, not once: {mutant.old!r}")
    return text.replace(mutant.old, mutant.new)


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
