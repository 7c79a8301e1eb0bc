"""Names that flows and tasks give to their runs."""

from __future__ import annotations

import datetime as dt

import pytest

from reeve import current_run, flow, task
from reeve.errors import InvalidInputError


@task(task_run_name="page {number:03} of {site}")
def page(number: int, site: str = "here") -> str:
    return current_run().name


class Book:
    title = "Emma"

    @task(task_run_name="{self.title} {chapter}")
    def read(self, chapter: int) -> str:
        return current_run().name


def test_a_task_run_is_named_after_its_parameters() -> None:
    @flow(flow_run_name="day {day:%d.%m.}")
    def daily(day: dt.date) -> list[str]:
        first = page.submit(1)
        return [current_run().name, first.result(), *page.map([2, 3], site="there").result()]

    assert daily("2026-01-31") == [  # type: ignore[arg-type]
        "day 31.01.",
        "page 001 of here",
        "page 002 of there",
        "page 003 of there",
    ]
    assert Book().read(4) == "Emma 4"


def test_results_of_futures_are_known_to_names() -> None:
    @flow
    def chained() -> str:
        return page.submit(7, site=page.submit(1)).result()

    assert chained() == "page 007 of page 001 of here"


def test_a_name_may_be_made_by_a_function() -> None:
    names = iter(["one", "two"])

    @flow(flow_run_name=lambda: f"flow {next(names)}")
    def named() -> str:
        return current_run().name

    assert [named(), named()] == ["flow one", "flow two"]


def test_a_name_that_cannot_be_made_costs_nothing(caplog: pytest.LogCaptureFixture) -> None:
    @task(task_run_name="{day:%q.nothing}{day.nothing}")
    def works(day: int) -> str:
        return current_run().name

    assert works(1) == "works-0"
    assert "Task 'works': the run keeps its usual name" in caplog.text


@pytest.mark.parametrize(
    ("name", "message"), [("{dya}", r"names \{dya\}; the parameters are: 'day'"), ("{day", "expected '}'")]
)
def test_placeholders_are_checked_where_they_are_written(name: str, message: str) -> None:
    def works(day: int) -> None: ...

    with pytest.raises(InvalidInputError, match=message):
        task(task_run_name=name)(works)
    with pytest.raises(InvalidInputError, match=message):
        flow(flow_run_name=name)(works)
