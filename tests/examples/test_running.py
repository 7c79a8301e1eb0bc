"""Each example goes the whole way: deployed, run by an agent in its own process, judged by what it leaves."""

from __future__ import annotations

import csv
import importlib.util
import json
import os
import sqlite3
import subprocess
import sys
from collections import Counter
from contextlib import closing
from datetime import date, timedelta
from pathlib import Path
from typing import IO, Any
from uuid import UUID

from tests.acceptance.house import PATIENCE, House, until

from reeve.core.crashes import CrashReason
from reeve.wire import endpoints as api
from reeve.wire import filters, queries, responses

Rows = list[tuple[Any, ...]]


def completes(house: House, deployment: str, **parameters: Any) -> UUID:
    """Ask for a run, see that it completes, and return its id."""
    (run_id,) = house.run_at_once(deployment, 1, **parameters)
    run = house.ends(run_id)
    assert run.state_name == "Completed", run.state
    return run_id


def says(house: House, run_id: UUID, text: str) -> None:
    """Wait until a run's log has a line with this text."""
    of_run = queries.LogQuery(logs=filters.LogFilter(flow_run_id=filters.Ids(any_=[run_id])))
    until(text, lambda: any(text in line.message for line in house.client.call(api.filter_logs, of_run)))


def rows(database: Path, query: str) -> Rows:
    with closing(sqlite3.connect(database)) as db:
        return db.execute(query).fetchall()


def artifact(house: House, key: str, run_id: UUID) -> Any:
    """Return the data of the latest artifact, which is that run's."""
    found = house.client.call(api.read_latest_artifact, key=key)
    assert found.flow_run_id == run_id
    assert isinstance(found.data, str)
    return json.loads(found.data) if found.type == "table" else found.data


def tasks_of(house: House, run_id: UUID, state: str | None = None) -> list[responses.TaskRun]:
    """Return up to 200 task runs, those in a state where one is named."""
    named = filters.StateCriterion(name=filters.StateNames(any_=[state])) if state else None
    wanted = filters.TaskRunFilter(flow_run_id=filters.NullableIds(any_=[run_id]), state=named)
    return house.client.call(api.filter_task_runs, queries.TaskRunQuery(task_runs=wanted))


def children(house: House, run_id: UUID) -> list[responses.FlowRunResponse]:
    of = filters.FlowRunFilter(parent_flow_run_id=filters.ParentIds(any_=[run_id]))
    return house.client.call(api.filter_flow_runs, queries.FlowRunQuery(flow_runs=of))


def grandchildren(house: House, run_id: UUID) -> list[responses.FlowRunResponse]:
    return [each for child in children(house, run_id) for each in children(house, child.id)]


def test_every_example_is_deployed_and_described(house: House) -> None:
    flows = {
        file.relative_to(house.flows).as_posix()
        for file in house.flows.rglob("*.py")
        if "\n@flow" in file.read_text()
    }
    deployed = house.client.call(api.filter_deployments, queries.DeploymentQuery())
    assert {str(each.entrypoint).partition(":")[0] for each in deployed} == flows
    described = (house.flows / "README.md").read_text()
    assert not [flow for flow in flows if f"({flow})" not in described]


def test_a_day_that_is_loaded_again_is_put_right(house: House) -> None:
    database = house.flows / "data" / "orders.db"
    completes(house, "load-orders/example", day="2026-02-01")
    first = rows(database, "SELECT * FROM orders ORDER BY id")
    assert len({order for order, *_ in first}) == len(first)
    assert ("2026-02-01-003", 100) in [(order, cents) for order, _, _, cents in first]  # the correction
    completes(house, "load-orders/example", day="2026-02-02")
    with closing(sqlite3.connect(database)) as db, db:
        db.execute("UPDATE orders SET cents = 0 WHERE day = '2026-02-01'")
        db.execute("DELETE FROM orders WHERE id = '2026-02-01-004'")
    again = completes(house, "load-orders/example", day="2026-02-01")
    assert rows(database, "SELECT * FROM orders WHERE day = '2026-02-01' ORDER BY id") == first
    assert rows(database, "SELECT count(DISTINCT day) FROM orders") == [(2,)]
    table = artifact(house, "sales-by-region", again)
    assert sum(region["orders"] for region in table) == len(first)
    assert round(sum(float(region["total"]) * 100 for region in table)) == sum(cents for *_, cents in first)


def test_a_thousand_tasks_add_up(house: House) -> None:
    run_id = completes(house, "count-primes/example")
    says(house, run_id, "There are 9592 primes below 100000.")
    completed = filters.TaskRunFilter(
        flow_run_id=filters.NullableIds(any_=[run_id]),
        state=filters.StateCriterion(name=filters.StateNames(any_=["Completed"])),
    )
    assert house.client.call(api.count_task_runs, queries.TaskRunFilters(task_runs=completed)) == 1000


def test_a_second_sweep_trains_only_what_is_new(house: House) -> None:
    first = completes(house, "sweep/example", degrees=[1, 3], penalties=[0.01, 1])
    assert len(tasks_of(house, first, state="Completed")) == 4
    second = completes(house, "sweep/example", degrees=[1, 3, 5], penalties=[0.01, 1])
    assert len(tasks_of(house, second, state="Cached")) == 4
    assert {each.name for each in tasks_of(house, second, state="Completed")} == {
        "degree 5, penalty 0.01",
        "degree 5, penalty 1",
    }
    trials = artifact(house, "trials", second)
    assert [trial["error"] for trial in trials] == sorted(trial["error"] for trial in trials)
    assert len(trials) == 6
    assert artifact(house, "best-model", second).startswith("Degree **5**, penalty **0.01**")


def test_pages_are_asked_for_again_where_that_may_help(house: House) -> None:
    with _shop(house).open_shop() as shop:
        run_id = completes(house, "scrape/example", site=shop.url, products=12, patience=1)
        asked = {int(page.rpartition("/")[2]): times for page, times in shop.asked.items()}
    assert asked == {**dict.fromkeys(range(1, 13), 1), 3: 3, 5: 2, 7: 3}  # 9 is gone, and asked for once
    unread = {row["page"].rpartition("/")[2]: row["why"] for row in artifact(house, "unread-pages", run_id)}
    assert unread == {"7": "timed out", "9": "HTTP Error 404: Not Found"}
    failed = tasks_of(house, run_id, state="Failed")
    assert {each.name for each in failed} == {f"{shop.url}/products/7", f"{shop.url}/products/9"}
    busy = next(each for each in tasks_of(house, run_id) if each.name.endswith("/3"))
    states = house.client.call(api.task_run_states, query={"task_run_id": busy.id})
    tries = [each.timestamp for each in states if each.type == "RUNNING"]
    assert len(tries) == 3
    assert busy.empirical_policy.retry_delay == [1, 2]


def test_what_is_approved_is_paid(house: House) -> None:
    orders = house.flows / "data" / "payments.csv"
    run_id = house.run("pay-invoices/example", "-P", "month=3")
    house.reaches(run_id, "Paused")
    says(house, run_id, f"reeve runs resume {run_id} -P by=…")
    due = artifact(house, "payments", run_id)
    assert "by" in house.cli("runs", "resume", str(run_id), "-P", "limit=500", code=1)
    assert house.read(run_id).state_name == "Paused"
    assert not orders.exists()
    house.cli("runs", "resume", str(run_id), "-P", "by=Ada", "-P", "limit=500")
    assert house.ends(run_id).state_name == "Completed"
    with orders.open(newline="") as file:
        paid = {int(row["invoice"]): row["approved by"] for row in csv.DictReader(file)}
    assert paid == {each["invoice"]: "Ada" for each in due if each["amount"] <= 500}
    (refused,) = house.run_at_once("pay-invoices/example", 1, orders="refused.csv")
    house.reaches(refused, "Paused")
    house.cli("runs", "resume", str(refused), "-P", "by=Bob", "-P", "approved=false")
    state = house.ends(refused).state
    assert state is not None
    assert (state.name, state.message) == ("Failed", "Bob has refused the payments.")
    assert not (house.flows / "refused.csv").exists()


def test_a_tree_of_flows_is_cancelled_from_its_root(house: House) -> None:
    done = completes(house, "close-quarter/example", quarter=2, seconds=0)
    assert {each.name for each in children(house, done)} == {"month 4", "month 5", "month 6"}
    assert Counter(each.state_name for each in grandchildren(house, done)) == {"Completed": 9}

    run_id = house.run("close-quarter/example", "-P", "seconds=600")
    until(
        "all regions", lambda: [each.state_name for each in grandchildren(house, run_id)] == ["Running"] * 9
    )
    months = children(house, run_id)
    house.cli("runs", "cancel", str(run_id))
    assert house.read(run_id).state_name == "Cancelled"
    assert not house.members(str(run_id))
    for month in months:
        house.reaches(month.id, "Cancelled")
    for region in grandchildren(house, run_id):
        house.reaches(region.id, "Cancelled")


def test_the_log_is_there_while_the_run_goes_on(house: House) -> None:
    (run_id,) = house.run_at_once("monitor/example", 1, seconds=600, every=0.1)
    watcher = house.start("watcher", "runs", "logs", "-f", str(run_id))
    until("lines", lambda: house.log("watcher").count(" free\n") >= 10)
    assert house.read(run_id).state_name == "Running"
    assert watcher.poll() is None
    house.cli("runs", "cancel", str(run_id))
    assert watcher.wait(PATIENCE) == 0
    assert "Traceback" not in house.log("watcher")


def test_each_file_is_taken_in_once(house: House) -> None:
    inbox = house.flows / "inbox"
    done = inbox / "done"
    done.mkdir(parents=True)
    house.cli(
        *("deploy", "inbox.py:take_in", "-n", "watch", "-P", f"folder={inbox}"),
        *("--interval", "1s", "--overlap", "skip", "--catchup", "none"),
    )
    _arrives(inbox, "one.csv", "amount\n1\n2\n")
    _arrives(inbox, "unreadable.csv", "amount\nmuch\n")
    until("the first file", (done / "one.csv").exists)
    os.mkfifo(inbox / "slow.csv")  # whoever reads it waits for who writes
    slow = until("a look at it", lambda: _read_by_somebody(inbox / "slow.csv"))
    assert slow is not None
    with slow:
        _arrives(inbox, "two.csv", "amount\n40\n")
        skipped = len(_looks(house, state="Skipped"))
        until("a look that is skipped", lambda: len(_looks(house, state="Skipped")) > skipped)
        assert not (done / "two.csv").exists()
        slow.write("amount\n5\n")
    until("the other files", lambda: (done / "slow.csv").exists() and (done / "two.csv").exists())
    house.cli("deployments", "pause", "take-in/watch")
    found = {file.name: file.read_text() for file in done.glob("*.total")}
    assert found == {"one.total": "3\n", "slow.total": "5\n", "two.total": "40\n"}
    assert [file.name for file in inbox.glob("*.csv")] == ["unreadable.csv"]
    names = ["one.csv", "slow.csv", "two.csv"]
    named = filters.TaskRunFilter(name=filters.Name(any_=names))
    handled = house.client.call(api.filter_task_runs, queries.TaskRunQuery(task_runs=named))
    assert sorted(each.name for each in handled) == names


def test_a_backfill_that_is_killed_goes_on(house: House) -> None:
    run_id = completes(house, "backfill/example", dies_on="2026-01-12")
    attempts = house.attempts(run_id)
    assert [each.crash_reason for each in attempts] == [CrashReason.SIGNAL, None]
    days = [date(2026, 1, 1) + timedelta(days=n) for n in range(20)]
    loads = rows(house.flows / "data" / "backfill.db", "SELECT day, attempt FROM loads ORDER BY day")
    assert loads == [(day.isoformat(), 1 if day < date(2026, 1, 12) else 2) for day in days]
    assert rows(house.flows / "data" / "backfill.db", "SELECT count(*) FROM sales") == [(20,)]


def test_each_is_plain_python_too(house: House, tmp_path: Path) -> None:
    names = (
        *("etl.py", "fan_out.py", "sweep.py", "scraping/scrape.py", "approval.py"),
        *("subflows.py", "monitor.py", "inbox.py", "backfill.py"),
    )
    started = {
        name: subprocess.Popen(
            [sys.executable, house.flows / name],
            cwd=tmp_path,
            env=house.environ(REEVE_API_URL="http://127.0.0.1:1/api", REEVE_HOME=str(tmp_path)),
            stderr=subprocess.PIPE,
            text=True,
        )
        for name in names
    }
    said = {name: process.communicate(timeout=PATIENCE)[1] for name, process in started.items()}
    assert {name: process.returncode for name, process in started.items()} == dict.fromkeys(names, 0), said
    assert "There are 9592 primes below 100000." in said["fan_out.py"]
    assert len(rows(tmp_path / "data" / "backfill.db", "SELECT * FROM loads")) == 20


def _looks(house: House, state: str) -> list[responses.FlowRunResponse]:
    """Return runs of the schedule that are in a state."""
    wanted = queries.FlowRunQuery(
        deployments=filters.DeploymentFilter(name=filters.Name(any_=["watch"])),
        flow_runs=filters.FlowRunFilter(state=filters.StateCriterion(name=filters.StateNames(any_=[state]))),
    )
    return house.client.call(api.filter_flow_runs, wanted)


def _arrives(folder: Path, name: str, content: str) -> None:
    """Have a file appear whole."""
    (folder / f"{name}.part").write_text(content)
    (folder / f"{name}.part").rename(folder / name)


def _read_by_somebody(pipe: Path) -> IO[str] | None:
    """Return the end of a pipe that is written to, if somebody has opened the other one."""
    try:
        return os.fdopen(os.open(pipe, os.O_WRONLY | os.O_NONBLOCK), "w")
    except OSError:
        return None


def _shop(house: House) -> Any:
    """Import the shop that belongs to the scraping example."""
    spec = importlib.util.spec_from_file_location("shop", house.flows / "scraping" / "shop.py")
    assert spec is not None
    assert spec.loader is not None
    shop = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(shop)
    return shop
