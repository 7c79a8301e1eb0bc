"""A day's orders, from a shop's export into SQLite. Loading a day again puts it right, and doubles nothing.

    python examples/etl.py                                         # plain Python, no server
    reeve deploy examples/etl.py:load_orders -n example --cron "0 3 * * *"
    reeve run load-orders/example -P day=2026-01-31 --watch
    reeve artifacts show sales-by-region

To see: typed parameters, retries of what may fail, names of runs, a table that a run leaves to be looked at.
"""

from __future__ import annotations

import random
import sqlite3
from contextlib import closing
from dataclasses import astuple, dataclass
from datetime import date
from pathlib import Path

from reeve import create_table_artifact, flow, get_run_logger, task

TABLE = "CREATE TABLE IF NOT EXISTS orders (id TEXT PRIMARY KEY, day TEXT, region TEXT, cents INTEGER)"
UPSERT = """
INSERT INTO orders VALUES (?, ?, ?, ?)
ON CONFLICT (id) DO UPDATE SET day = excluded.day, region = excluded.region, cents = excluded.cents
"""
TOTALS = "SELECT region, count(*), sum(cents) FROM orders WHERE day = ? GROUP BY region ORDER BY region"


@dataclass(frozen=True)
class Order:
    """One order, as the table has it."""

    id: str
    day: str
    region: str
    cents: int


@task(retries=3, retry_delay_seconds=10)
def extract(day: date) -> list[dict[str, str]]:
    """Return the export of a day: made up here, and the same each time, as a shop's would be."""
    dice = random.Random(day.toordinal())
    rows = [
        {
            "order": f"{day}-{number:03}",
            "region": dice.choice(["north", "south", "west"]),
            "amount": f"{dice.uniform(5, 200):.2f}",
        }
        for number in range(dice.randint(80, 120))
    ]
    rows[7]["amount"] = "n/a"
    correction = {**rows[3], "amount": "1.00"}
    return [*rows, correction]


@task
def transform(day: date, rows: list[dict[str, str]]) -> list[Order]:
    """Return the orders of an export; what cannot be read is told and left out."""
    orders = []
    for row in rows:
        try:
            cents = round(float(row["amount"]) * 100)
        except ValueError:
            get_run_logger().warning("Order %s has no amount: %r", row["order"], row["amount"])
        else:
            orders.append(Order(row["order"], day.isoformat(), row["region"], cents))
    return orders


@task(retries=3, retry_delay_seconds=10)
def load(orders: list[Order], database: Path) -> None:
    """Write the orders in one transaction: all of them or none."""
    database.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(database)) as db, db:
        db.execute(TABLE)
        db.executemany(UPSERT, map(astuple, orders))


@flow(flow_run_name="orders of {day}")
def load_orders(day: date = date(2026, 1, 31), database: Path = Path("data/orders.db")) -> None:
    """Load the orders of a day, and show what was sold where."""
    rows = extract(day)
    load(transform(day, rows), database)
    with closing(sqlite3.connect(database)) as db:
        totals = [
            {"region": region, "orders": orders, "total": f"{cents / 100:.2f}"}
            for region, orders, cents in db.execute(TOTALS, [day.isoformat()])
        ]
    create_table_artifact(totals, key="sales-by-region", description=f"Sales of {day}")
    get_run_logger().info("%d lines of %s are in %s", len(rows), day, database)


if __name__ == "__main__":
    load_orders()
