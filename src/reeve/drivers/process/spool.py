"""A run's directory on disk: the intent to launch, its output, its exit record.

``launch``    line 1: the intent, written before the fork; line 2: the handle, after it
``stdout``, ``stderr``   the bytes of the run, appended; made by the first of them
``records``   lines of JSON that the run has logged, where it does so; written by the run itself
``records.full``  there while the run is to log no more there, since the spool as a whole has no room
``exit.json`` the exit record; whole or not there
"""
# ruff: noqa: PTH102, PTH103, PTH104, PTH106, PTH108, PTH116, PTH118, PTH123 - pathlib would cost the shim a megabyte

from __future__ import annotations

import contextlib
import errno
import json
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

LAUNCH = "launch"
EXIT = "exit.json"
STREAMS = ("stdout", "stderr")
RECORDS = "records"
RECORDS_FULL = "records.full"
WORK = "work"  # the working directory of a run that named none
DEFAULT_QUOTA = 100 * 1024 * 1024  # bytes of both streams together (protocol §7)
NO_ROOM = "the agent's spool is full"
_RECORDS_STOP = 64 * 1024  # bytes of room below which runs are to log no more: they look by themselves


def write_intent(directory: str, intent: dict[str, Any]) -> int:
    """Write that an attempt is about to be launched; at most once in the life of the directory.

    Return the open file, for ``settle`` and ``add_handle``. Raises FileExistsError when it was launched
    before.
    """
    try:
        os.mkdir(directory, mode=0o700)
    except OSError:  # there already, or not even its parent
        os.makedirs(directory, mode=0o700, exist_ok=True)
    path = os.path.join(directory, LAUNCH)
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        _write_all(file, _line(intent))
    except OSError:
        os.close(file)
        os.unlink(path)  # nothing was launched: a repeat is welcome
        raise
    return file


def settle(file: int) -> None:
    """Bring a file to disk.

    Of many files, write all before the first is settled: one commit of the file system serves them all.
    """
    os.fsync(file)


def forget_intent(directory: str, file: int) -> None:
    """Take the intent back: nothing was launched, and a repeat is welcome."""
    os.close(file)
    os.unlink(os.path.join(directory, LAUNCH))


def add_handle(file: int, handle: dict[str, Any]) -> None:
    """Write the handle after the intent, for a driver that finds neither shim nor journal; close the file."""
    try:
        _write_all(file, _line(handle))
    finally:
        os.close(file)


def read_launch(directory: str) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """Return intent and handle, either empty when it was not written; None when nothing was launched."""
    try:
        with open(os.path.join(directory, LAUNCH), "rb") as file:
            lines = file.read().split(b"\n")
    except (FileNotFoundError, NotADirectoryError):
        return None
    whole = [json.loads(line) for line in lines[:-1]]  # the last part is empty, or cut by a crash
    return (whole[0] if whole else {}), (whole[1] if len(whole) > 1 else {})


def write_exit(directory: str, record: dict[str, Any]) -> int:
    """Write the exit record beside its place; return the open file for ``settle_exit``."""
    path = os.path.join(directory, EXIT)
    file = os.open(f"{path}.new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        _write_all(file, _line(record))
    except OSError:
        os.close(file)
        raise
    return file


def settle_exit(directory: str, file: int) -> None:
    """Bring the exit record to disk, and only then to its place: it is there whole or not at all."""
    try:
        settle(file)
    finally:
        os.close(file)
    path = os.path.join(directory, EXIT)
    os.rename(f"{path}.new", path)


def read_exit(directory: str) -> dict[str, Any] | None:
    """Return the exit record, None when there is none yet."""
    try:
        with open(os.path.join(directory, EXIT), "rb") as file:
            record: dict[str, Any] = json.loads(file.read())
    except FileNotFoundError:
        return None
    return record


def remove(directory: str) -> None:
    """Remove what every ended run leaves; raises OSError where there was more, or less.

    The launch goes first: one without an end would be taken for a run whose shim was killed.
    """
    os.unlink(os.path.join(directory, LAUNCH))
    os.unlink(os.path.join(directory, EXIT))
    os.rmdir(directory)


def length(directory: str) -> int:
    """Return how many bytes streams and records hold; holes count."""
    return sum(_length(os.path.join(directory, name)) for name in (*STREAMS, RECORDS))


class Room:
    """How much the outputs of a shim may take together: no more than ``until`` bytes since it began.

    None: whatever the disk takes. ``dropped``: for how many there was no room.
    """

    __slots__ = ("dropped", "until", "written")

    def __init__(self) -> None:
        self.until: int | None = None
        self.written = 0
        self.dropped = 0

    def fits(self, size: int) -> int:
        """Return how many of so many bytes may be written."""
        return size if self.until is None else max(0, min(size, self.until - self.written))


class Output:
    """Both streams of a run on disk. What exceeds the quota or finds no room is counted, never waited for.

    ``cut``: bytes beyond the quota; ``lost``: those that the disk refused; ``dropped``: those for which the
    spool as a whole had no room. ``size``: all that lies in the files, lines of reeve's own and records with
    it, these as they were seen last.
    """

    __slots__ = (
        "_cut_in",
        "_directory",
        "_files",
        "_is_full",
        "_reason",
        "_recorded",
        "_room",
        "_untold",
        "cut",
        "dropped",
        "lost",
        "quota",
        "size",
        "written",
    )

    def __init__(self, directory: str, quota: int, room: Room | None = None) -> None:
        self._files: dict[str, int] = {}  # made by the first bytes: most runs write nothing
        self._untold = dict.fromkeys(STREAMS, 0)  # bytes lost since the last line that said so
        self._directory = directory
        self._recorded = 0  # bytes of records, as they were seen last
        self._is_full = False  # whether the run was told to log no more
        self._cut_in = ""  # the stream that is still to say where output was cut
        self._reason = ""
        self._room = room or Room()
        self.quota = quota
        self.size = 0
        self.written = 0
        self.lost = 0
        self.dropped = 0
        self.cut = 0

    def write(self, stream: str, data: bytes) -> None:
        """Append what a run wrote. Never fails."""
        room = max(0, self.quota - self.written)
        over = len(data) - room
        if room:
            self._append(stream, data[:room])
        if over <= 0:
            return
        if self.cut == 0:
            self._cut_in = stream
        self.cut += over
        self.tell_losses()

    def tell_losses(self) -> None:
        """Write the lines about what was lost and cut as soon as there is room for them."""
        for stream, count in self._untold.items():
            if count and self._tell(stream, f"{count} bytes of output were lost here: {self._reason}"):
                self._untold[stream] = 0
        if self._cut_in and self._tell(self._cut_in, f"output beyond {self.quota} bytes was cut here"):
            self._cut_in = ""

    def count_records(self) -> None:
        """Count what the run has logged by itself since the last look, and tell it whether it may go on."""
        grown = _length(os.path.join(self._directory, RECORDS)) - self._recorded
        self._recorded += grown
        self._room.written += grown
        self.size += grown
        is_full = self._room.fits(_RECORDS_STOP) < _RECORDS_STOP
        if is_full == self._is_full:
            return
        path = os.path.join(self._directory, RECORDS_FULL)
        with contextlib.suppress(OSError):  # tried again at the next look
            if is_full:
                os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
            else:
                os.unlink(path)
            self._is_full = is_full

    def close(self) -> None:
        """Say what was lost, if the disk has room now, and close both files."""
        self.count_records()
        self._room = Room()  # the last line is worth more than its bytes
        self.tell_losses()
        for file in self._files.values():
            os.close(file)
        self._files = {}

    def _file(self, stream: str) -> int:
        if stream not in self._files:
            path = os.path.join(self._directory, stream)
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
            self._files[stream] = os.open(path, flags, 0o600)
        return self._files[stream]

    def _append(self, stream: str, data: bytes) -> None:
        self.tell_losses()
        kept = 0 if self._untold[stream] else self._put(stream, data)
        self.written += kept
        missed = len(data) - kept
        if missed == 0:
            return
        self._untold[stream] += missed
        if self._reason == NO_ROOM:
            self.dropped += missed
            self._room.dropped += missed
            if not self._is_full:
                self.count_records()
        else:
            self.lost += missed

    def _tell(self, stream: str, sentence: str) -> bool:
        """Write a line of reeve's own, unless there is no room for all of it."""
        line = f"\n[reeve] {sentence}\n".encode()
        return self._room.fits(len(line)) == len(line) and self._put(stream, line) == len(line)

    def _put(self, stream: str, data: bytes) -> int:
        """Return how many bytes could be written."""
        done, end = 0, self._room.fits(len(data))
        if end < len(data):
            self._reason = NO_ROOM
        while done < end:
            try:
                done += os.write(self._file(stream), data[done:end])
            except OSError as error:
                self._reason = error.strerror or errno.errorcode.get(error.errno or 0, "write error")
                break
        self._room.written += done
        self.size += done
        return done


def _length(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError:  # not made, or discarded just now
        return 0


def _line(value: dict[str, Any]) -> bytes:
    return json.dumps(value).encode() + b"\n"


def _write_all(file: int, data: bytes) -> None:
    while data:
        data = data[os.write(file, data) :]
