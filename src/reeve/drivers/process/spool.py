"""A run's directory on disk: what became of it, line by line, and its output.

``launch``    lines of JSON: the intent, written before the fork; the handle, after it; the exit as it is told
``stdout``, ``stderr``   the bytes of the run, appended; made by the first of them
``records``   lines of JSON that the run has logged, where it does so; written by the run itself
``records.full``  there while the run is to log no more there, since the spool as a whole has no room
"""
# ruff: noqa: PTH102, PTH103, PTH106, PTH108, PTH116, PTH123 - pathlib would cost the shim a megabyte

from __future__ import annotations

import contextlib
import errno
import json
import os

from reeve.drivers.process import messages

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

LAUNCH = "launch"
STREAMS = ("stdout", "stderr")
RECORDS = "records"
RECORDS_FULL = "records.full"
WORK = "work"  # the working directory of a run that named none
DEFAULT_QUOTA = 100 * 1024 * 1024  # bytes of both streams together (protocol §7)
NO_ROOM = "the agent's spool is full"
_RECORDS_STOP = 64 * 1024  # bytes of room below which runs are to log no more: they look by themselves


def make(directory: str) -> None:
    """Make a directory, unless it is there."""
    try:
        os.mkdir(directory, mode=0o700)
    except FileExistsError:
        pass
    except FileNotFoundError:
        os.makedirs(directory, mode=0o700, exist_ok=True)


def write_intent(directory: str, intent: dict[str, Any]) -> int:
    """Write that an attempt is about to be launched; at most once in the life of the directory.

    Return the open file, for ``settle`` and ``add_handle``. Raises FileExistsError when it was launched
    before.
    """
    make(directory)
    path = f"{directory}/{LAUNCH}"
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        _write_all(file, messages.encode(intent))
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
    os.unlink(f"{directory}/{LAUNCH}")


def add_handle(file: int, handle: dict[str, Any]) -> None:
    """Write the handle after the intent, for a driver that finds neither shim nor journal; close the file."""
    try:
        _write_all(file, messages.encode(handle))
    finally:
        os.close(file)


def add_exit(directory: str, told: bytes) -> int:
    """Write the exit after what is there, as it will be ``told``; return the open file, for
    ``settle_exit``.

    A line of its own, also after one that a crash or a full disk has cut. Raises FileNotFoundError when
    nothing was launched.
    """
    file = os.open(f"{directory}/{LAUNCH}", os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
    try:
        _write_all(file, b"\n" + told)
    except OSError:
        os.close(file)
        raise
    return file


def settle_exit(file: int) -> None:
    """Bring an exit to disk, and close its file."""
    try:
        settle(file)
    finally:
        os.close(file)


def read(directory: str) -> dict[str, Any] | None:
    """Return what intent, handle and exit say, as far as they are there; None when nothing was launched.

    The exit record is its ``record``.
    """
    try:
        with open(f"{directory}/{LAUNCH}", "rb") as file:
            lines = file.read().split(b"\n")
    except (FileNotFoundError, NotADirectoryError):
        return None
    known: dict[str, Any] = {}
    for line in lines:
        with contextlib.suppress(ValueError):  # empty, or cut by a crash
            known |= json.loads(line)
    return known


def read_exit(directory: str) -> dict[str, Any] | None:
    """Return the exit record, None when there is none yet."""
    return (read(directory) or {}).get("record")


def remove(directory: str) -> None:
    """Remove what every ended run leaves; raises OSError where there was more, or less."""
    os.unlink(f"{directory}/{LAUNCH}")
    os.rmdir(directory)


def length(directory: str) -> int:
    """Return how many bytes streams and records hold; holes count."""
    return sum(_length(f"{directory}/{name}") for name in (*STREAMS, RECORDS))


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
        grown = _length(f"{self._directory}/{RECORDS}") - self._recorded
        self._recorded += grown
        self._room.written += grown
        self.size += grown
        is_full = self._room.fits(_RECORDS_STOP) < _RECORDS_STOP
        if is_full == self._is_full:
            return
        path = f"{self._directory}/{RECORDS_FULL}"
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
            path = f"{self._directory}/{stream}"
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


def _write_all(file: int, data: bytes) -> None:
    while data:
        data = data[os.write(file, data) :]
