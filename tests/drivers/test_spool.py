"""A run's directory on disk."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from reeve.drivers.process import messages, spool


def test_an_attempt_is_launched_once_in_a_directory(tmp_path: Path) -> None:
    place = str(tmp_path / "deep" / "spool")
    assert spool.read(place) is None
    file = spool.write_intent(place, {"attempt": "a"})
    spool.settle(file)
    assert spool.read(place) == {"attempt": "a"}
    with pytest.raises(FileExistsError):
        spool.write_intent(place, {"attempt": "a"})
    spool.add_handle(file, {"pid": 5})
    assert spool.read(place) == {"attempt": "a", "pid": 5}


def test_an_intent_that_is_taken_back_was_none(tmp_path: Path) -> None:
    spool.forget_intent(str(tmp_path), spool.write_intent(str(tmp_path), {"attempt": "a"}))
    assert spool.read(str(tmp_path)) is None


def test_a_run_that_writes_nothing_has_no_files(tmp_path: Path) -> None:
    spool.Output(str(tmp_path), 10).close()
    assert not list(tmp_path.iterdir())


def test_a_torn_launch_file_is_a_launch(tmp_path: Path) -> None:
    (tmp_path / spool.LAUNCH).write_text('{"attem')
    assert spool.read(str(tmp_path)) == {}


@pytest.mark.parametrize("cut", [0, 1, 5])
def test_an_exit_record_is_whole_or_not_there(tmp_path: Path, cut: int) -> None:
    """Also where a crash, or a full disk, has cut what was written before it."""
    place, file = str(tmp_path), tmp_path / spool.LAUNCH
    with pytest.raises(FileNotFoundError):  # nothing was launched
        spool.add_exit(place, messages.exited({"code": 1}))
    os.close(spool.write_intent(place, {"attempt": "a"}))
    spool.add_handle(os.open(file, os.O_WRONLY | os.O_APPEND), {"pid": 5})
    os.truncate(file, file.stat().st_size - cut)
    assert spool.read_exit(place) is None
    spool.settle_exit(spool.add_exit(place, messages.exited({"code": 1})))
    assert spool.read_exit(place) == {"code": 1}
    assert spool.read(place) == {
        "attempt": "a",
        **({"pid": 5} if cut < 2 else {}),
        **json.loads(messages.exited({"code": 1})),
    }
    os.truncate(file, file.stat().st_size - 2)
    assert spool.read_exit(place) is None
    assert [one.name for one in tmp_path.iterdir()] == [spool.LAUNCH]


def test_the_quota_is_for_both_streams_and_its_end_is_told_once(tmp_path: Path) -> None:
    output = spool.Output(str(tmp_path), 10)
    output.write("stdout", b"12345")
    output.write("stderr", b"6789012")
    output.write("stdout", b"more")
    output.close()
    assert (tmp_path / "stdout").read_bytes() == b"12345"
    assert (tmp_path / "stderr").read_bytes() == b"67890\n[reeve] output beyond 10 bytes was cut here\n"
    assert (output.written, output.cut, output.lost) == (10, 6, 0)


def test_what_a_full_device_refuses_is_counted(tmp_path: Path) -> None:
    (tmp_path / "stdout").symlink_to("/dev/full")
    output = spool.Output(str(tmp_path), 100)
    output.write("stdout", b"lost")
    output.write("stderr", b"kept")
    output.write("stdout", b"lost too")
    output.close()
    assert (output.written, output.cut, output.lost) == (4, 0, 12)
    assert (tmp_path / "stderr").read_bytes() == b"kept"
