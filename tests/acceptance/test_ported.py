"""examples/ported: one program, written with Prefect 2.20 and with reeve."""

from __future__ import annotations

import difflib
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest
from tests.acceptance.house import House, until

from reeve.wire import endpoints, filters, queries

EXAMPLES = Path(__file__).parents[2] / "examples" / "ported"
DAY = "2026-01-31"
ROWS = "amount,currency\n10,CHF\n10,EUR\n"


@pytest.fixture
def house(tmp_path: Path, sqlite_url: str) -> Iterator[House]:
    """Give a house with a server, an agent, and the program that is ported. What is tested is no SQL."""
    made = House(tmp_path, sqlite_url)
    try:
        made.start_server()
        made.cli("pools", "create", "default")
        made.start_agent()
        (made.flows / "with_reeve.py").write_text((EXAMPLES / "with_reeve.py").read_text())
        yield made
    finally:
        made.close()


def test_only_imports_differ() -> None:
    old, new = ((EXAMPLES / f"with_{one}.py").read_text().splitlines() for one in ("prefect", "reeve"))
    changed = [line for line in difflib.ndiff(old, new) if line[0] in "+-"]
    assert changed
    assert all(line[2:].startswith(("from prefect", "from reeve import ")) for line in changed), changed


def test_it_waits_for_a_late_delivery_and_reports(house: House, tmp_path: Path) -> None:
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    for region in ("north", "south"):
        (inbox / f"{region}-{DAY}.csv").write_text(ROWS)
    house.cli("deploy", "with_reeve.py:sales", "-n", "prod", "-P", f"inbox={inbox}")
    run = UUID(json.loads(house.cli("run", "sales/prod", "-P", f"day={DAY}", "--json"))["id"])

    def tasks() -> dict[str, str]:
        mine = queries.TaskRunQuery(flow_runs=filters.FlowRunFilter(id=filters.RunIds(any_=[run])))
        return {one.name: str(one.state_name) for one in house.client.call(endpoints.filter_task_runs, mine)}

    def is_tried_again() -> bool:
        assert (now := house.read(run)).end_time is None, house.cli("explain", str(now.id))
        return tasks().get("extract-west") == "AwaitingRetry"

    until("the late one to be tried again", is_tried_again)
    (inbox / f"west-{DAY}.csv").write_text(ROWS)

    assert house.ends(run).state_name == "Completed"
    assert (inbox / f"report-{DAY}.csv").read_text().split() == ["north,19.5", "south,19.5", "west,19.5"]
    assert house.read(run).name == f"sales-{DAY}"
    began = Counter(one.split("-")[0] for one in tasks())
    assert began == {"convert": 3, "extract": 3, "total": 3, "publish": 1}, (
        "a subflow is a task of its parent"
    )
