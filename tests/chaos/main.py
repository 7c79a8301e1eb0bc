"""The command line of scripts/chaos: run promises at any counts, print what was counted, with the seed."""

from __future__ import annotations

import argparse
import json
import secrets
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests import postgres
from tests.chaos import frame, mutants
from tests.chaos.frame import Counts, Row

KINDS = ("sqlite", "postgres")


def main(arguments: Sequence[str] | None = None) -> int:
    """Return 0 when every promise was kept; with ``--mutant``, when the mutant was caught."""
    given = _parser().parse_args(arguments)
    seed = given.seed if given.seed is not None else secrets.randbelow(10**6)
    scale = 1.0 if given.scale is None else given.scale
    counts = Counts(scale, given.count)
    kinds = [kind for kind in KINDS if given.database in {kind, "both"}]
    promises = given.promises or frame.names()
    if given.mutant:
        mutant = mutants.MUTANTS[given.mutant]
        promises, kinds = [mutant.promise], [kind for kind in kinds if kind in mutant.databases]
        if given.scale is None and given.count is None:
            counts = mutant.counts
    with _cluster(kinds) as cluster_url, mutants.source(given.mutant) as source:
        told = [
            _keep(promise, kind, cluster_url, seed, counts, source) for promise in promises for kind in kinds
        ]
    if given.json:
        given.json.write_text(json.dumps({"seed": seed, "scale": counts.scale, "rows": told}, indent=1))
    failures = sum(len(one["failures"]) for one in told)
    say(f"\nseed {seed}, scale {counts.scale:g}")
    if given.mutant:
        say(f"mutant {given.mutant}: {'caught' if failures else 'NOT CAUGHT'} by {promises[0]}")
        return 0 if failures else 1
    return 1 if failures else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/chaos", description="Count whether reeve keeps its promises."
    )
    parser.add_argument(
        "promises", nargs="*", metavar="PROMISE", choices=[*frame.names(), []], help="all by default"
    )
    parser.add_argument("--seed", type=int, help="what chance follows; printed at the end")
    parser.add_argument("--database", choices=(*KINDS, "both"), default="both")
    parser.add_argument("--count", type=int, metavar="N", help="trials, instead of the full count")
    parser.add_argument(
        "--scale", type=float, metavar="F", help="share of all full counts; default 1, of a mutant enough"
    )
    parser.add_argument("--mutant", choices=sorted(mutants.MUTANTS), help="test a reeve that lacks this")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the table there too")
    return parser


def _keep(
    promise: str, kind: str, cluster_url: str | None, seed: int, counts: Counts, source: Path | None
) -> dict[str, Any]:
    began = time.monotonic()
    with frame.fresh_database(kind, cluster_url) as url:
        try:
            row = frame.keep(promise, url, seed=seed, counts=counts, source=source)
        except Exception as error:  # noqa: BLE001 - a promise that cannot be counted is not kept
            row = Row(failures=[f"{type(error).__name__}: {error}"])
    seconds = time.monotonic() - began
    figures = ", ".join(f"{name} {value}" for name, value in row.figures.items())
    say(
        f"{promise:<14} {kind:<9} {row.trials:>6} trials {len(row.failures):>5} failures  {figures}"
        f"  ({seconds:.0f} s)"
    )
    for line in (*row.failures[:10], *row.notes):
        say(f"    {line}")
    return {"promise": promise, "database": kind, "seconds": round(seconds, 1), **asdict(row)}


def say(text: str) -> None:
    """Print at once, also into a pipe."""
    print(text, flush=True)  # noqa: T201 - a program's answer


@contextmanager
def _cluster(kinds: Sequence[str]) -> Iterator[str | None]:
    if "postgres" not in kinds:
        yield None
        return
    cluster = postgres.start_cluster()
    try:
        yield cluster.url
    finally:
        cluster.stop()


if __name__ == "__main__":
    sys.exit(main())
