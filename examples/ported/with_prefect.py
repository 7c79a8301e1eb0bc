"""Load a day of sales from the files that the regions deliver.

    python PROGRAM INBOX 2026-01-31

There are two of this program, with_prefect.py and with_reeve.py. Only their imports differ.
"""

from __future__ import annotations

import csv
import sys
from datetime import date, timedelta
from pathlib import Path

from prefect import flow, get_run_logger, task, unmapped
from prefect.tasks import task_input_hash

REGIONS = ("north", "south", "west")
RATES = {"CHF": 1.0, "EUR": 0.95, "USD": 0.8}


@task(retries=60, retry_delay_seconds=1, task_run_name="extract-{region}")
def extract(region: str, inbox: str, day: date) -> list[dict[str, str]]:
    """Read what a region has delivered; some deliver late."""
    with (Path(inbox) / f"{region}-{day}.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@task(cache_key_fn=task_input_hash, cache_expiration=timedelta(hours=12))
def convert(rows: list[dict[str, str]], rates: dict[str, float]) -> list[float]:
    """Bring a region's amounts into one currency."""
    print(f"converting {len(rows)} rows")
    return [float(row["amount"]) * rates[row["currency"]] for row in rows]


@task
def total(amounts: list[float]) -> float:
    """Add up what a region has sold."""
    return round(sum(amounts), 2)


@flow
def publish(totals: dict[str, float], inbox: str, day: date) -> str:
    """Write the day's report beside the deliveries."""
    report = Path(inbox) / f"report-{day}.csv"
    with report.open("w", newline="") as file:
        csv.writer(file).writerows(sorted(totals.items()))
    return str(report)


@flow(name="sales", flow_run_name="sales-{day}", log_prints=True, timeout_seconds=3600)
def sales(inbox: str, day: date) -> dict[str, float]:
    """Load a day of sales of all regions, and publish what each has sold."""
    delivered = extract.map(REGIONS, unmapped(inbox), unmapped(day))
    amounts = convert.map(delivered, unmapped(RATES))
    sold = {region: total(each) for region, each in zip(REGIONS, amounts, strict=True)}
    report = publish(sold, inbox, day)
    get_run_logger().info("sold %.2f in all, see %s", sum(sold.values()), report)
    return sold


if __name__ == "__main__":
    print(sales(sys.argv[1], date.fromisoformat(sys.argv[2])))
