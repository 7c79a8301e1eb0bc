"""Figures of growth and of many agents, each with its goal. Prints a table; 1 when a goal is not met.

    scripts/bench growth [--only rows,schedules,…] [--size 1] [--rounds 10] [--json FILE] [--svg FILE]

rows       claims, polls, pages, schedules: 1,000,000 waiting and 10,000,000 ended runs beside few; on
           PostgreSQL also with the dead rows that a transaction leaves that stays open
schedules  a tick of the scheduler with 10,000 deployments, and what dispatch feels of it
idle       1,000 agents that wait, each with its poll open
pruner     what dispatch feels of the deletion of old runs
servers    3 servers on PostgreSQL and 6 agents, beside one server on SQLite with 6 agents and with 1
memory     server, agent and shim over many runs
flows      the memory of a run that sleeps

``--size 0.01`` is a hundredth of all that: it runs in seconds, and says whether the bench works.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

from benches import growth_agents, growth_duties, growth_rows, growth_servers
from benches.figures import Figures, add_options

FAMILIES = {
    "rows": growth_rows.rows,
    "schedules": growth_duties.schedules,
    "idle": growth_agents.idle,
    "pruner": growth_duties.pruner,
    "servers": growth_servers.servers,
    "memory": growth_agents.memory,
    "flows": growth_agents.flows,
}


def main() -> int:
    """Measure and print; 1 when a goal is not met."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default=",".join(FAMILIES), help="some of the figures, apart by commas")
    parser.add_argument("--only-database", choices=("sqlite", "postgres"), help="leave out the other one")
    parser.add_argument("--size", type=float, default=1.0, help="times the numbers above")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--waiting", type=int, default=1_000_000, help="runs that wait, of the figure rows")
    parser.add_argument("--ended", type=int, default=10_000_000, help="runs that have ended, of the same")
    add_options(parser)
    options = parser.parse_args()
    wanted = options.only.split(",")
    if unknown := sorted({*wanted} - {*FAMILIES}):
        parser.error(f"--only: {', '.join(unknown)}; there are {', '.join(FAMILIES)}")
    if not 0 < options.size <= 1:
        parser.error(f"--size must be above 0 and at most 1, not {options.size:g}")
    figures = Figures("growth")
    for name in wanted:
        with tempfile.TemporaryDirectory(prefix="reeve-bench-") as root:
            asyncio.run(FAMILIES[name](Path(root), options, figures))
        figures.write(options)  # each time: the next family may take an hour
    return int(not all(figure.is_met for figure in figures.all))


if __name__ == "__main__":
    sys.exit(main())
