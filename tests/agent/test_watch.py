"""What is said about an end."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

import pytest

from reeve.agent.watch import TAIL_LINES, in_words, tail
from reeve.drivers.base import ExitRecord

CRASH = "Flow run infrastructure exited with non-zero status code"  # A105


@pytest.mark.parametrize(
    ("record", "reason", "words"),
    [
        ({"code": 0}, None, "exited with code 0"),
        ({"code": 3}, None, f"{CRASH} 3."),
        (
            {"signal": 11},
            None,
            f"{CRASH} -11. Cause: crashed with SIGSEGV (a fault in compiled code).",
        ),
        (
            {"signal": 15, "stopped_by": "agent"},
            "its run was cancelled",
            f"{CRASH} -15. Cause: ended by SIGTERM after it was told to stop (its run was cancelled).",
        ),
        ({"code": 0, "stopped_by": "server"}, "any", "exited with code 0 after the server told it to stop"),
        ({"message": "the machine was restarted"}, None, "the machine was restarted"),
    ],
)
def test_an_end_in_words(record: dict[str, object], reason: str | None, words: str) -> None:
    assert in_words(ExitRecord(attempt=uuid4(), **record), reason) == words  # type: ignore[arg-type]


def test_the_tail_is_the_end_of_what_went_wrong(tmp_path: Path) -> None:
    assert tail(tmp_path) is None
    (tmp_path / "stdout").write_text("".join(f"out {n}\n" for n in range(100)))
    assert (tail(tmp_path) or "").splitlines() == [f"out {n}" for n in range(100 - TAIL_LINES, 100)]
    (tmp_path / "stderr").write_bytes(b"err \xff\n\n")
    assert tail(tmp_path) == "err \ufffd"


def test_the_tail_of_one_endless_line_is_short(tmp_path: Path) -> None:
    (tmp_path / "stderr").write_text("x" * 1_000_000)
    assert len(tail(tmp_path) or "") == 8192
