"""The examples do what they say, as plain Python and as the process of a run."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.sdk.api import Api
from tests.sdk.conftest import Launch, wait_for_file

from reeve import load_flow

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(autouse=True)
def _restored(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Leave the interpreter's modules and search path as they were."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        del sys.modules[name]


def test_stdlib_report_counts_what_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flow = load_flow("stdlib_report.py:stdlib_report", EXAMPLES)
    library = tmp_path / "lib"
    (library / "email").mkdir(parents=True)
    (library / "test").mkdir()
    (library / "email" / "a.py").write_text("def f():\n    def g():\n        return 1\n    return g\n")
    (library / "email" / "broken.py").write_text("def (\n")
    (library / "one.py").write_text("class C:\n    async def m(self):\n        pass\n")
    (library / "test" / "skipped.py").write_text("x = 1\n")
    monkeypatch.setitem(flow.fn.__globals__, "stdlib", lambda: library)
    assert flow(top=2, output=tmp_path / "out") == {"packages": 2, "modules": 3, "lines": 8, "functions": 3}
    report = (tmp_path / "out" / "report.md").read_text()
    assert "3 modules in 2 packages, 8 lines, 3 functions." in report
    assert "1 files could not be parsed." in report
    assert "1. `email.a.f`, 4 lines\n2. `email.a.g`, 2 lines\n" in report
    assert (tmp_path / "out" / "lines.svg").read_text().count("<rect") == 2


def test_flaky_succeeds_the_third_time(api: Api, launch: Launch) -> None:
    run_id = api.add_run()
    assert launch(run_id, "flaky.py:flaky", path=str(EXAMPLES)).wait() == 0
    assert api.names(run_id).count("AwaitingRetry") == 2
    assert api.names(run_id)[-1] == "Completed"


def test_family_leaves_a_child_that_only_kill_ends(api: Api, launch: Launch, tmp_path: Path) -> None:
    run_id, pid_file = api.add_run(), tmp_path / "child"
    process = launch(run_id, "family.py:family", {"pid_file": str(pid_file)}, path=str(EXAMPLES))
    wait_for_file(pid_file)
    child = int(pid_file.read_text())
    try:
        process.signal(signal.SIGTERM)
        os.kill(child, signal.SIGTERM)
        assert process.wait() == 143
        assert os.getsid(child) == child
    finally:
        os.kill(child, signal.SIGKILL)
    assert f"child {child}" in api.messages()


def test_crashy_completes_at_its_second_attempt(api: Api, launch: Launch, tmp_path: Path) -> None:
    run_id, pid_file = api.add_run(), tmp_path / "pid"
    parameters = {"pid_file": str(pid_file)}
    first = launch(run_id, "crashy.py:crashy", parameters, path=str(EXAMPLES))
    wait_for_file(pid_file)
    os.kill(int(pid_file.read_text()), signal.SIGKILL)
    assert first.wait() == -signal.SIGKILL
    second = launch(run_id, "crashy.py:crashy", parameters, path=str(EXAMPLES), attempt_number=2)
    assert second.wait() == 0
    assert api.names(run_id)[-1] == "Completed"
