"""Prepare payments, wait until somebody approves them, and pay: the run is one, however long that takes.

    python examples/approval.py                                    # plain Python, with the approval given
    reeve deploy examples/approval.py:pay_invoices -n example
    reeve run pay-invoices/example                                 # it tells its ID
    reeve artifacts show payments                                  # what there is to approve
    reeve runs resume ID -P by=Ada -P limit=500                    # the fields of Approval

To see: a pause with typed input, which is refused while it does not fit. `suspend_flow_run` in the place of
`pause_flow_run` would end the process, and start another when it is resumed.
"""

from __future__ import annotations

import csv
import random
from dataclasses import asdict, dataclass
from pathlib import Path

from reeve import EndRun, Failed, create_table_artifact, flow, get_run_logger, pause_flow_run, task

A_DAY = 24 * 60 * 60


@dataclass(frozen=True)
class Payment:
    """What is owed to whom, in whole francs."""

    invoice: int
    to: str
    amount: int


@dataclass(frozen=True)
class Approval:
    """Who approves, up to which amount each; or refuses."""

    by: str
    limit: int = 1000
    approved: bool = True


@task
def open_invoices(month: int) -> list[Payment]:
    """Return what is to be paid: made up here, and the same each time."""
    dice = random.Random(month)
    names = ["Berger", "Keller", "Moser", "Weber"]
    return [Payment(month * 100 + n, dice.choice(names), dice.randint(50, 1500)) for n in range(12)]


@task
def pay(payments: list[Payment], approved_by: str, orders: Path) -> None:
    """Write the order for the bank."""
    orders.parent.mkdir(parents=True, exist_ok=True)
    with orders.open("w", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(["invoice", "to", "amount", "approved by"])
        lines.writerows([one.invoice, one.to, one.amount, approved_by] for one in payments)


@flow(flow_run_name="invoices of month {month}")
def pay_invoices(
    month: int = 1, orders: Path = Path("data/payments.csv"), approval: Approval | None = None
) -> int:
    """Pay what is approved. An ``approval`` that is given beforehand is not asked for."""
    due = open_invoices(month)
    create_table_artifact([asdict(one) for one in due], key="payments", description="To be approved")
    get_run_logger().info("%d payments, %d in all, wait for approval", len(due), sum(p.amount for p in due))

    approval = approval or pause_flow_run(Approval, timeout=A_DAY)
    if not approval.approved:
        raise EndRun(Failed(f"{approval.by} has refused the payments."))

    granted = [payment for payment in due if payment.amount <= approval.limit]
    pay(granted, approval.by, orders)
    get_run_logger().info("%s has approved %d of %d", approval.by, len(granted), len(due))
    return len(granted)


if __name__ == "__main__":
    pay_invoices(approval=Approval(by="Ada"))
