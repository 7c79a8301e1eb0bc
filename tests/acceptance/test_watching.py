"""A run that somebody watches, executed by a real agent: all of its lines, then its end."""

from __future__ import annotations

import re

from tests.acceptance.house import House

CHATTY = """
from reeve import flow, get_run_logger, task

@task
def load(n: int) -> int:
    get_run_logger().info("loads %d", n)
    return n

@flow
def inner() -> None:
    get_run_logger().info("inner says this")
    load(7)

@flow
def chatty() -> None:
    load(1)
    inner()
    get_run_logger().info("last words")
"""
LINE = re.compile(r"^[\d:.]+  (.*)$", re.MULTILINE)


def test_a_quick_run_is_watched_to_its_last_line(house: House) -> None:
    name = house.deploy(CHATTY, "chatty")
    house.start_agent()
    said = LINE.findall(house.cli("run", name, "--watch"))
    by_run = [line for line in said if line.startswith("INFO") and "reeve.agent" not in line]
    assert [re.sub(r"[a-z]+-[a-z]+(?=[/:])", "SUBFLOW", line) for line in by_run] == [
        "INFO    load-0: loads 1",
        "INFO    SUBFLOW: inner says this",
        "INFO    SUBFLOW/load-0: loads 7",
        "INFO    reeve.flow_runs: last words",
    ]
    assert said[-1] == "Completed", "the end is the last"
