"""Entrypoints: the flow they name, or the one thing that is wrong with them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from reeve import load_flow
from reeve.sdk import modules
from reeve.sdk.load import (
    EntrypointError,
    EntrypointNotFoundError,
    FlowImportError,
    FlowLoadError,
    FlowNotFoundError,
    NotAFlowError,
    find_flow,
    flow_at_hand,
)

CODE = """
from reeve import flow
import {neighbour}

@flow
def nightly(day: str = "monday"):
    import {late}
    return {neighbour}.VALUE, {late}.VALUE, day

@flow
def weekly(): ...

def helper(): ...
"""


@pytest.fixture(autouse=True)
def _restored(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Leave the interpreter's modules and search path as they were, and what workers would load."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    before, files = set(sys.modules), dict(modules.loaded_files)
    yield
    modules.loaded_files.clear()
    modules.loaded_files.update(files)
    for name in set(sys.modules) - before:
        del sys.modules[name]


@pytest.fixture
def code(tmp_path: Path) -> Path:
    """A directory with a file of flows, a package of flows, and what they import."""
    package = tmp_path / "jobs" / "inner"
    package.mkdir(parents=True)
    (tmp_path / "jobs" / "__init__.py").touch()
    (package / "__init__.py").touch()
    for place in (tmp_path, package.parent):
        (place / f"neighbour_{place.name}.py".replace("-", "_")).write_text("VALUE = 1")
    (tmp_path / "beside.py").write_text("VALUE = 'beside'")
    (tmp_path / "later.py").write_text("VALUE = 'later'")
    text = CODE.format(neighbour="beside", late="later")
    (tmp_path / "flows.py").write_text(text)
    (package / "daily.py").write_text(text)
    return tmp_path


def test_a_file_is_looked_for_in_the_path(code: Path) -> None:
    nightly = load_flow("flows.py:nightly", code)
    assert nightly.name == "nightly"
    assert nightly() == ("beside", "later", "monday")


def test_a_file_is_looked_for_in_the_current_directory(code: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(code)
    assert load_flow("flows.py:weekly").name == "weekly"
    assert load_flow(f"{code / 'flows.py'}:weekly", "/").name == "weekly"


def test_a_module_is_imported(code: Path) -> None:
    assert load_flow("jobs.inner.daily:nightly", code)("tuesday") == ("beside", "later", "tuesday")


def test_a_files_name_hides_no_module(code: Path) -> None:
    (code / "json.py").write_text("from reeve import flow\n@flow\ndef f(): return __name__")
    assert load_flow("json.py:f", code)() == "json_flows"
    import json

    assert json.dumps([]) == "[]"


def fault(error: type[FlowLoadError], entrypoint: str, path: Path) -> str:
    """Return the message of the error that loading raises."""
    with pytest.raises(error) as caught:
        load_flow(entrypoint, path)
    assert type(caught.value) is error
    return str(caught.value)


@pytest.mark.parametrize("entrypoint", ["", "flows.py", "flows.py:", ":nightly", "flows.py:not a name"])
def test_what_is_no_entrypoint_is_told_what_one_is(entrypoint: str, tmp_path: Path) -> None:
    assert "FILE.py:FLOW or MODULE:FLOW" in fault(EntrypointError, entrypoint, tmp_path)


def test_a_missing_file_is_named(code: Path) -> None:
    assert (
        fault(EntrypointNotFoundError, "flwos.py:nightly", code) == f"There is no file {code / 'flwos.py'}."
    )


@pytest.mark.parametrize("module", ["nothere", "jobs.nothere", "nothere.inner"])
def test_a_missing_module_is_named(code: Path, module: str) -> None:
    assert f"no module '{module}'" in fault(EntrypointNotFoundError, f"{module}:f", code)


def test_the_flows_that_are_there_are_suggested(code: Path) -> None:
    message = fault(FlowNotFoundError, "flows.py:nihgtly", code)
    assert message == "flows.py has no flow 'nihgtly'. Its flows: nightly, weekly."
    (code / "none.py").touch()
    assert "It has no flows: decorate" in fault(FlowNotFoundError, "none.py:nightly", code)


def test_what_is_no_flow_is_told_apart(code: Path) -> None:
    message = fault(NotAFlowError, "flows.py:helper", code)
    assert message == "'helper' in flows.py is a function, not a flow. Its flows: nightly, weekly."


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("import nothere_at_all", "No module named 'nothere_at_all'"),
        ("def f(:", "SyntaxError"),
        ("x = 1\ndef g():\n    return x / 0\ng()", "line 3, in g"),
        ("import sys; sys.exit(3)", "SystemExit: 3"),
    ],
)
@pytest.mark.parametrize("entrypoint", ["bad.py:f", "bad:f"])
def test_an_import_that_fails_shows_the_users_lines(
    code: Path, text: str, told: str, entrypoint: str
) -> None:
    (code / "bad.py").write_text(text)
    message = fault(FlowImportError, entrypoint, code)
    assert told in message
    assert "importlib" not in message
    assert "/reeve/sdk/" not in message
    assert "bad" not in sys.modules


def test_a_flow_is_not_run_by_its_import(code: Path) -> None:
    (code / "bare.py").write_text("from reeve import flow\n@flow\ndef f(): ...\nf()")
    message = fault(FlowImportError, "bare.py:f", code)
    assert "Put it under ``if __name__" in message
    (code / "guarded.py").write_text(
        "from reeve import flow\n@flow\ndef f(): ...\nif __name__ == '__main__': f()"
    )
    assert load_flow("guarded.py:f", code).name == "f"


def test_dataclasses_of_a_loaded_file_work(code: Path) -> None:
    # They look their module up by name while they are made.
    (code / "records.py").write_text(
        "from __future__ import annotations\nfrom dataclasses import dataclass\nfrom reeve import flow\n"
        "@dataclass\nclass Record:\n    x: int = 1\n@flow\ndef f(r: Record): return r\n"
    )
    assert load_flow("records.py:f", code)({"x": "4"}).x == 4


def test_every_public_word_is_there() -> None:
    import reeve

    for word in reeve.__all__:
        assert getattr(reeve, word) is not None
    with pytest.raises(AttributeError, match="no attribute 'flwo'"):
        _ = reeve.flwo
    assert set(reeve.__all__) <= set(dir(reeve))


def test_code_at_hand_is_that_of_the_file_as_it_is_then(tmp_path: Path) -> None:
    """What was compiled for one run serves the next, until the file changes; none sees another's module."""
    file = tmp_path / "versions.py"
    code = "from reeve import flow\nSEEN = []\n@flow\ndef tells(): SEEN.append(1); return {0}, len(SEEN)\n"

    def told() -> object:
        found = flow_at_hand("versions.py:tells", tmp_path)
        assert flow_at_hand("versions.py:tells", tmp_path) is found
        return found.load()()

    file.write_text(code.format(1))
    assert [told(), told()] == [(1, 1), (1, 1)]
    file.write_text(code.format(22))
    assert told() == (22, 1)


def test_a_flow_at_hand_is_looked_at_again(tmp_path: Path) -> None:
    """Though nothing was loaded since: who forks runs loads none itself."""
    with pytest.raises(EntrypointNotFoundError):
        flow_at_hand("changing.py:tells", tmp_path)
    file = tmp_path / "changing.py"
    code = "from reeve import flow\n@flow\ndef tells(): return {0}\n"
    for number in (1, 22):
        file.write_text(code.format(number))
        found = flow_at_hand("changing.py:tells", tmp_path)
    assert found.load()() == 22


def test_a_link_that_leads_elsewhere_is_noticed(tmp_path: Path) -> None:
    code = "from reeve import flow\n@flow\ndef tells(): return {0}\n"
    for number in (1, 2):
        (tmp_path / str(number)).mkdir()
        file = tmp_path / str(number) / "linked.py"
        file.write_text(code.format(number))
        os.utime(file, (0, 0))
    link = tmp_path / "current"
    for number in (1, 2):
        link.unlink(missing_ok=True)
        link.symlink_to(tmp_path / str(number))
        found = flow_at_hand("linked.py:tells", link)
    assert found.load()() == 2


def test_code_at_hand_may_be_faulty_and_is_told_when_it_is_loaded(tmp_path: Path) -> None:
    (tmp_path / "faulty.py").write_text("def (")
    flow = find_flow("faulty.py:tells", tmp_path)
    assert flow.module is not None
    with pytest.raises(SyntaxError):
        flow.module.compile()
    with pytest.raises(FlowImportError, match=r"faulty\.py"):
        flow.load()


def test_a_rehearsal_leaves_nothing_behind() -> None:
    script = """
import logging, os, signal, sys, threading
from reeve.sdk import entry
from reeve.sdk.modules import loaded_files
from reeve.sdk.termination import termination
before = os.listdir("/proc/self/fd"), list(sys.path)
entry.warm()
assert (os.listdir("/proc/self/fd"), list(sys.path)) == before
handler, = logging.getLogger("reeve").handlers
assert handler == entry._records and handler._room == 0 and handler._file is None
assert not termination.requested and not loaded_files
assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL and threading.active_count() == 1
assert "rehearsed" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", script], check=True)
