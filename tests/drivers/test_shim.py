"""The shim's protocol, spoken by hand."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from tests.drivers.conftest import Home

from reeve.drivers.base import NotLaunchedError
from reeve.drivers.process import messages, start


class Line:
    """A connection to a shim."""

    def __init__(self, directory: Path) -> None:
        found = start.connect(directory)
        assert found
        found.settimeout(60)
        self._socket = found
        self._lines = found.makefile("rb")

    def ask(self, do: str, **fields: Any) -> Any:
        return self.say(json.dumps({"id": 1, "do": do, **fields}).encode())

    def say(self, line: bytes) -> Any:
        self._socket.sendall(line + b"\n")
        return self.read()

    def read(self) -> Any:
        answer = self._lines.readline()
        return json.loads(answer) if answer else None

    def close(self) -> None:
        self._lines.close()
        self._socket.close()


@pytest.fixture
def directory(home: Home) -> Path:
    directory = home.path / "shim" / "by-hand"
    start.start(directory, 0)
    return directory


@pytest.fixture
def line(directory: Path) -> Iterator[Line]:
    line = Line(directory)
    yield line
    line.close()


def test_only_the_owner_can_reach_it(directory: Path, line: Line) -> None:
    assert directory.stat().st_mode & 0o777 == 0o700
    assert (directory / messages.SOCKET).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("protocol", [messages.PROTOCOL - 1, messages.PROTOCOL, messages.PROTOCOL + 1])
def test_it_speaks_with_its_neighbours(line: Line, protocol: int) -> None:
    assert line.ask("hello", protocol=protocol)["ok"]["protocol"] == messages.PROTOCOL


@pytest.mark.parametrize("protocol", [messages.PROTOCOL - 2, messages.PROTOCOL + 2, None, "1"])
def test_it_refuses_other_protocols(line: Line, protocol: object) -> None:
    assert line.ask("hello", protocol=protocol)["error"]["code"] == "protocol"
    assert line.ask("list")["error"]["code"] == "hello_first"


def test_it_says_what_it_does_not_understand(line: Line) -> None:
    line.ask("hello", protocol=messages.PROTOCOL)
    assert line.ask("dance")["error"]["code"] == "unknown"
    assert line.ask("stop")["error"]["code"] == "invalid"
    assert line.ask("stop", attempt="x", grace_seconds=1)["ok"] == {"known": False}
    order = {"argv": ["true"], "env": "", "cwd": "/", "spool_dir": "/nowhere", "grace_seconds": 1}
    assert line.ask("launch", attempt="no uuid", **order)["error"]["code"] == "invalid"


def test_it_keeps_a_record_until_it_is_acknowledged(home: Home, line: Line) -> None:
    line.ask("hello", protocol=messages.PROTOCOL)
    attempt = str(uuid4())
    spool = str(home.path / "spool" / attempt)
    order = {"argv": ["/bin/true"], "env": "", "cwd": "/", "spool_dir": spool, "grace_seconds": 1}
    assert line.ask("launch", attempt=attempt, **order)["ok"]["handle"]["attempt"] == attempt
    record = line.read()["record"]
    assert (record["attempt"], record["code"]) == (attempt, 0)
    assert line.ask("list")["ok"] == {"runs": [], "ended": [record]}
    line.ask("acknowledge", attempts=[attempt])
    assert line.ask("list")["ok"] == {"runs": [], "ended": []}
    assert line.ask("launch", attempt=attempt, **order)["ok"]["exit"] == record


@pytest.mark.parametrize("noise", [b"noise", b"[]", b"\xff\xfe"])
def test_it_survives_noise(directory: Path, line: Line, noise: bytes) -> None:
    other = Line(directory)
    assert line.say(noise) is None  # hung up
    assert other.ask("hello", protocol=messages.PROTOCOL)["ok"]
    other.close()


def test_there_is_one_in_a_directory(home: Home, directory: Path, line: Line) -> None:
    start.start(directory, 0)
    assert home.shim()


def test_nobody_lives_in_an_empty_directory(tmp_path: Path) -> None:
    assert start.connect(tmp_path) is None
    assert start.connect(tmp_path / "missing") is None
    assert not start.is_alive(tmp_path)


def test_a_directory_that_cannot_be_used_is_explained(tmp_path: Path) -> None:
    (tmp_path / messages.LOCK).mkdir()
    with pytest.raises(NotLaunchedError, match=r"The shim cannot start in '.*': Is a directory"):
        start.start(tmp_path, 0)


def test_it_replaces_the_socket_of_a_dead_one(home: Home) -> None:
    directory = home.path / "shim" / "dead"
    directory.mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as stale:
        folder = os.open(directory, os.O_PATH)
        stale.bind(f"/proc/self/fd/{folder}/{messages.SOCKET}")
        os.close(folder)
    assert start.connect(directory) is None
    start.start(directory, 0)
    line = Line(directory)
    assert line.ask("hello", protocol=messages.PROTOCOL)["ok"]
    line.close()


def test_a_message_may_come_in_pieces() -> None:
    lines = messages.Lines()
    text = messages.encode({"a": "ü\udcff\n"}) + messages.encode({"b": 1}) + b'{"c":'
    assert [one for byte in text for one in lines.feed(bytes([byte]))] == [{"a": "ü\udcff\n"}, {"b": 1}]
    assert lines.feed(b"2}\n\n"[:3]) == [{"c": 2}]
    with pytest.raises(ValueError, match="too long"):
        lines.feed(b"x" * (messages.LONGEST_LINE + 1))
