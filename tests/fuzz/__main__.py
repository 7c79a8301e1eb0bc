"""The long campaign, on both databases (scripts/fuzz)."""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests import postgres
from tests.acceptance.house import House
from tests.fuzz.campaign import EDGES, PHASES, Outcome, campaign, operations

ROW = "{:<10} {:>9} {:>9} {:>9} {:>7} {:>9} {:>11}"


def main() -> int:
    """Fuzz, print the table, and return 1 if anything failed."""
    parser = argparse.ArgumentParser(prog="scripts/fuzz", description=__doc__)
    parser.add_argument("--examples", type=int, default=50, help="for each operation and phase (50)")
    parser.add_argument(
        "--seed", type=int, default=random.randrange(2**31), help="of what is made up (random)"
    )
    parser.add_argument("--phases", default=",".join(PHASES), help=f"{','.join(PHASES)}; also: {EDGES}")
    parser.add_argument("--database", choices=("sqlite", "postgres"), help="one only")
    chosen = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # not without ending what was started
    outcomes: dict[str, Outcome] = {}
    with tempfile.TemporaryDirectory(prefix="reeve-fuzz-") as folder:
        for name in [chosen.database] if chosen.database else ["sqlite", "postgres"]:
            sys.stderr.write(f"fuzz: {name}, seed {chosen.seed}\n")
            with _house(name, Path(folder) / name) as house:
                outcome = campaign(
                    house, examples=chosen.examples, seed=chosen.seed, phases=chosen.phases.split(",")
                )
            outcomes[name] = outcome
            if outcome.failures:
                sys.stderr.write(outcome.log.read_text())
    sys.stdout.writelines(f"{line}\n" for line in _table(outcomes, chosen.seed))
    return int(any(outcome.failures for outcome in outcomes.values()))


@contextmanager
def _house(database: str, root: Path) -> Iterator[House]:
    with ExitStack() as stack:
        url = f"sqlite:///{root / 'reeve.db'}"
        if database == "postgres":
            url = os.environ.get("REEVE_TEST_POSTGRES_URL") or ""
            if not url:
                cluster = postgres.start_cluster()
                stack.callback(cluster.stop)
                url = cluster.url
        house = House(root, url)
        stack.callback(house.close)
        yield house


def _table(outcomes: dict[str, Outcome], seed: int) -> Iterator[str]:
    dialect, own = operations(own=False), operations(own=True)
    heads = ("database", f"of {len(dialect)}", f"of {len(own)} own", "requests", "2xx", "failures", "seed")
    yield ROW.format(*heads)
    for name, outcome in outcomes.items():
        counts = outcome.covered(dialect), outcome.covered(own), outcome.requests
        yield ROW.format(name, *counts, f"{outcome.success:.1%}", len(outcome.failures), seed)
    for name, outcome in outcomes.items():
        yield from (f"{name}: {failure}" for failure in outcome.failures)


if __name__ == "__main__":
    sys.exit(main())
