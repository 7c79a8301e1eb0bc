"""Load all days of a period. A run that dies on the way goes on where it was: no day is loaded twice.

    python examples/backfill.py                                    # plain Python, no server
    reeve deploy examples/backfill.py:backfill -n example --crash-retries 2
    reeve run backfill/example -P first=2026-01-01 -P last=2026-01-20 -P dies_on=2026-01-12 --watch
    reeve runs show ID                                             # its attempts, and what became of each

To see: `persist_result` keeps what each task returned. The second attempt reads that, and executes only what
is left. (A day that was under way when the process died is loaded again: that is why `load` replaces.)
"""

from __future__ import annotations

import os
import signal
import sqlite3
from contextlib import closing
from datetime import date, timedelta
from pathlib import Path

from reeve import current_run, flow, get_run_logger, task

TABLES = """
CREATE TABLE IF NOT EXISTS sales (day TEXT PRIMARY KEY, amount INTEGER);
CREATE TABLE IF NOT EXISTS loads (day TEXT, attempt INTEGER);
"""


@task(task_run_name="{day}")
def load(day: date, database: Path) -> int:
    """Load one day, which may be there already, and note who did it; return its sales."""
    amount = day.toordinal() % 1000
    with closing(sqlite3.connect(database)) as db, db:
        db.execute("INSERT OR REPLACE INTO sales VALUES (?, ?)", [day.isoformat(), amount])
        db.execute("INSERT INTO loads VALUES (?, ?)", [day.isoformat(), current_run().attempt])
    return amount


@flow(persist_result=True, flow_run_name="backfill {first} to {last}")
def backfill(
    first: date = date(2026, 1, 1),
    last: date = date(2026, 1, 20),
    database: Path = Path("data/backfill.db"),
    dies_on: date | None = None,
) -> int:
    """Load the days from ``first`` to ``last``. With ``dies_on`` the first attempt is killed at that day."""
    database.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(database)) as db:
        db.executescript(TABLES)
    total = 0
    for number in range((last - first).days + 1):
        day = first + timedelta(days=number)
        if day == dies_on and current_run().attempt == 1:
            os.kill(os.getpid(), signal.SIGKILL)  # as a kernel out of memory would, or a power cut
        total += load(day, database)
    get_run_logger().info("%s to %s: %d in all", first, last, total)
    return total


if __name__ == "__main__":
    backfill()
