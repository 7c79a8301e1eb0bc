"""What each program imports while it does its work: lists that can only shrink, and what must never be there.

Names are counted, not seconds. A failure says which module came in and who imported it.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tests.acceptance.house import House, until
from tests.imports import Trace, over_budget, trespassers

TEMPLATE = "-m reeve.drivers.process.template"
WEB = ("uvicorn", "starlette", "httpx2", "websockets")
# What no run needs that has no tasks of its own, cold or forked.
NOT_IN_A_RUN = (
    *("reeve.server", "reeve.agent", "reeve.cli", "reeve.settings", "reeve.testing"),
    *("asyncio", "concurrent", "subprocess", "http.client", "ssl", "sqlite3", "asyncpg", "httpx2"),
    *("click", "fsspec", "hashlib", "pathlib", "pickle", "rich"),
)
# What must not be there, by words of the command.
BANNED = {
    "server start": (
        *("reeve.agent", "reeve.sdk", "reeve.drivers", "reeve.testing"),
        *("asyncpg", "httpx2", "rich"),
    ),
    "agent start": ("reeve.server", "reeve.sdk", "reeve.testing", "asyncpg", "jsonschema", "rich", *WEB),
    "runs ls": (
        *("reeve.server", "reeve.agent", "reeve.sdk", "reeve.drivers"),
        *("asyncio", "sqlite3", "asyncpg", "jsonschema", "rich", *WEB),
    ),
    "-m reeve.sdk.entry": (*NOT_IN_A_RUN, "ctypes", "json"),
    TEMPLATE: NOT_IN_A_RUN,
}
NOOP = """
from reeve import flow

@flow
def main():
    pass
"""


@pytest.fixture
def trace(tmp_path: Path) -> Trace:
    return Trace(tmp_path / "trace")


@pytest.mark.parametrize(
    ("program", "code"),
    [
        ("reeve", "import reeve"),
        ("words", "from reeve import flow, task"),
        ("help", "from reeve.cli.main import main; main(['--help'])"),
    ],
)
def test_a_start_imports_what_its_list_says(program: str, code: str, trace: Trace) -> None:
    subprocess.run([sys.executable, "-c", code], env=trace.environ, check=True, capture_output=True)
    problems = over_budget(program, trace.of(code))
    assert not problems, "\n".join(problems)


def test_no_program_imports_what_it_does_not_need(trace: Trace, tmp_path: Path, sqlite_url: str) -> None:
    house = House(tmp_path / "house", sqlite_url, **trace.environ)
    try:
        forked = _work(house)
    finally:
        house.close()
    told = {words: trace.of(words) for words in BANNED}
    problems = [one for words in BANNED for one in trespassers(words, told[words], BANNED[words])]
    sql = told["agent start"]["sqlite3"]
    if not sql.startswith("reeve.agent.journal:"):
        problems.append(f"agent start: sqlite3 came in, by {sql}; the journal alone needs it")
    problems += over_budget("run", told[TEMPLATE])
    problems += [
        f"a forked run: {name} came in after the fork, by {importer}: its engine's warm() can import it once"
        for one in trace.read()
        if one.pid == forked
        for name, importer in one.importers.items()
    ]
    assert not problems, "\n".join(problems)


def _work(house: House) -> int:
    """Have every program do its work, and all but the runs stop in order; return the pid of a forked run."""
    house.start_server()
    house.cli("pools", "create", "default")
    house.start_agent()
    deployment = house.deploy(NOOP)
    forked = until("a run that is forked", lambda: _forked(house, deployment)) or 0
    house.cli("runs", "ls")
    assert house.stop("agent") == house.stop("server") == 0
    return forked


def _forked(house: House, deployment: str) -> int | None:
    """Return the pid of a run that completed, if a template has forked it."""
    (run_id,) = house.run_at_once(deployment, 1)
    assert house.ends(run_id).state_name == "Completed"
    (attempt,) = house.attempts(run_id)
    assert attempt.handle
    details = attempt.handle["details"]
    return int(details["pid"]) if details["forked"] else None
