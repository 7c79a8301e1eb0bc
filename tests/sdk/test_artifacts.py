"""Artifacts: left by runs, looked at by people."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
from datetime import date
from typing import Any
from uuid import UUID

import pytest
from tests.sdk.real import Real, real, shared

from reeve import flow, task
from reeve.artifacts import (
    acreate_markdown_artifact,
    create_image_artifact,
    create_link_artifact,
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)
from reeve.errors import InvalidInputError, NotFoundError
from reeve.wire import endpoints, filters, queries
from reeve.wire.responses import Artifact

__all__ = ["real", "shared"]  # fixtures

SVG = '<svg xmlns="http://www.w3.org/2000/svg"><circle r="4"/></svg>'


def left_by(real: Real, run_id: UUID) -> list[Artifact]:
    query = queries.ArtifactQuery(
        artifacts=filters.ArtifactFilter(flow_run_id=filters.Ids(any_=[run_id])),
        sort=queries.ArtifactSort.CREATED_DESC,
    )
    return real.client.call(endpoints.filter_artifacts, query)[::-1]


def test_each_kind_is_kept_with_its_run(real: Real) -> None:
    @task
    def measure() -> None:
        create_table_artifact([{"day": date(2026, 1, 31), "rows": float("nan")}], key="rows")

    @flow(name="artifacts")
    def leaves() -> None:
        create_markdown_artifact("# Report", key="report", description="of the day")
        create_link_artifact("https://example.org", link_text="there")
        create_image_artifact("https://example.org/a.png")
        create_image_artifact(SVG)
        measure()

    run_id, state = real.execute(leaves)
    assert state.is_completed, state
    report, link, image, drawn, table = left_by(real, run_id)
    assert (report.key, report.type, report.data, report.description) == (
        "report",
        "markdown",
        "# Report",
        "of the day",
    )
    assert (link.type, link.data) == ("markdown", "[there](https://example.org)")
    assert (image.type, image.data) == ("image", "https://example.org/a.png")
    head, _, body = drawn.data.partition(",")
    assert (head, base64.b64decode(body).decode()) == ("data:image/svg+xml;base64", SVG)
    assert (table.type, json.loads(table.data)) == ("table", [{"day": "2026-01-31", "rows": None}])
    assert [one.task_run_id is None for one in (report, link, image, drawn, table)] == [True] * 4 + [False]


def test_progress_moves(real: Real, caplog: pytest.LogCaptureFixture) -> None:
    @flow(name="progress")
    def works() -> None:
        bar = create_progress_artifact(0.0, key="bar")
        update_progress_artifact(bar, 120.0, description="done")

    run_id, _ = real.execute(works)
    (bar,) = left_by(real, run_id)
    assert (bar.type, bar.data, bar.description) == ("progress", 100.0, "done")
    assert "A progress of 120 % is shown as 100 %." in caplog.messages


def test_async_flows_await_them_by_either_name(real: Real) -> None:
    @flow(name="async-artifacts")
    async def leaves() -> list[Any]:
        ids = await asyncio.gather(*(acreate_markdown_artifact(f"{n}", key=f"n-{n}") for n in range(20)))
        return [*ids, await create_markdown_artifact("as in 2.20")]  # type: ignore[misc]  # typed as plain

    run_id, state = real.execute(leaves)
    assert sorted(one.id for one in left_by(real, run_id)) == sorted(state.result())


def test_outside_of_a_run_the_server_of_the_settings_keeps_it(real: Real) -> None:
    made = create_markdown_artifact("by hand")
    assert made is not None
    kept = real.client.call(endpoints.read_artifact, id=made)
    assert (kept.data, kept.flow_run_id) == ("by hand", None)
    with pytest.raises(NotFoundError):
        update_progress_artifact(UUID(int=1), 3)


def test_without_a_server_the_log_is_told(caplog: pytest.LogCaptureFixture) -> None:
    @flow
    def plain() -> Any:
        bar = create_progress_artifact(1)
        update_progress_artifact(bar, 50)
        create_table_artifact([{"n": n} for n in range(30)])
        return [bar, create_markdown_artifact("x" * 1000, key="long")]

    with caplog.at_level(logging.INFO):
        assert plain() == [None, None]
    said = [record.getMessage() for record in caplog.records]
    assert said[0] == "Artifact (progress), kept by no server: 1.0"
    assert said[1] == "Progress: 50 %."
    table = said[2].splitlines()
    assert table[:3] == ["Artifact (table), kept by no server:", "n", "0"]
    assert table[-2:] == ["19", "… and 10 more"]
    assert said[3] == f"Artifact 'long' (markdown), kept by no server: {'x' * 200}…"


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda: create_markdown_artifact("x", key="No Good"), "key"),
        (lambda: create_image_artifact("/tmp/a.png"), "image"),
        (lambda: create_progress_artifact(float("nan")), "progress"),
    ],
)
def test_what_cannot_be_one_is_refused_before_it_is_sent(make: Any, field: str) -> None:
    with pytest.raises(InvalidInputError) as refused:
        make()
    assert refused.value.field == field
