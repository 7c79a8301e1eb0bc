"""Flows of a user, in a file of their own, as an agent needs them."""

from __future__ import annotations

import asyncio
import os
from datetime import timedelta

from reeve import (
    create_markdown_artifact,
    create_table_artifact,
    flow,
    get_run_logger,
    pause_flow_run,
    suspend_flow_run,
    task,
)

downloads: list[str] = []
outages: list[str] = []  # downloads that fail, one after the other


@task(retries=2, retry_delay_seconds=600)
def download(day: str) -> int:
    downloads.append(day)
    if outages:
        raise ConnectionError(outages.pop())
    return len(day)


@task(
    cache_key_fn=lambda _, parameters: parameters["day"],
    cache_expiration=timedelta(hours=1),
    persist_result=True,
)
def rate(day: str) -> int:
    downloads.append(day)
    return 2


@flow
def report(day: str = "2026-03-28", times: int = 1) -> int:
    """Count what was downloaded."""
    get_run_logger().info("report of %s", day)
    rows = download(day) * times
    create_markdown_artifact(f"{rows} rows", key="report")
    return rows


@flow
def rated(day: str) -> int:
    return rate(day)


@flow(retries=1, retry_delay_seconds=3600)
async def awaited(day: str) -> int:
    await asyncio.sleep(0)
    downloads.append(day)
    if len(downloads) == 1:
        raise ConnectionError("the source is away")
    return len(day)


@flow
def broken() -> None:
    raise ValueError("no rows")


@flow
def where() -> int:
    create_table_artifact([{"pid": os.getpid()}], key="where")
    return os.getpid()


@flow
def asks() -> str:
    return pause_flow_run(str, timeout=3600)


@flow
def leaves() -> str:
    return suspend_flow_run(str, timeout=3600)
