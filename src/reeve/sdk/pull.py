"""Fetching a run's code before it is loaded: what the pull steps of its deployment say.

Runs in the run's own process, with the run's key. Everything that is fetched lies in a directory of this run
alone, which is deleted when the run has ended.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import stat
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import IO, Any, TypeVar

from reeve.core.pull_steps import GitStep, PathStep, Step, ZipStep, kept_step
from reeve.errors import InvalidInputError
from reeve.sdk.checkout import check_out, pointers
from reeve.sdk.git import GitError, GitRefusedError, Mirror
from reeve.sdk.load import FlowLoadError

T = TypeVar("T")
Say = Callable[[int, str], None]  # a level of logging, and a sentence

TRIES = (0.0, 1.0, 5.0)  # seconds before each
LARGEST_BYTES = 2**30
MOST_FILES = 100_000
_CHUNK = 2**20


class PullError(FlowLoadError):
    """The code could not be fetched."""

    code = "pull_failed"


class Pulled:
    """Where the code lies, and which it is; ``None``: only the directory was said."""

    def __init__(self, directory: Path, version: str | None) -> None:
        self.directory = directory
        self.version = version


def pull(steps: Iterable[Mapping[str, Any]], cache: Path, into: Path, say: Say) -> Pulled:
    """Do the steps, each in a directory below ``into``; the last one says where the code is.

    Raises PullError, with the reason; a fault of the network is tried again, and ``say`` hears of it.
    """
    pulled = Pulled(into, None)
    for number, kept in enumerate(steps):
        try:
            step = kept_step(kept)
        except InvalidInputError as error:
            raise PullError(f"Its code cannot be fetched: {error.message}.") from None
        pulled = _do(step, cache, into / f"code-{number}", say)
    return pulled


def _do(step: Step, cache: Path, into: Path, say: Say) -> Pulled:
    if isinstance(step, PathStep):
        directory = Path(step.directory)
        if not directory.is_dir():
            raise PullError(f"There is no directory {directory} on this machine.")
        return Pulled(directory, None)
    version = _git(step, cache, into, say) if isinstance(step, GitStep) else _zip(step, into, say)
    directory = into / (step.directory or "")
    if not directory.is_dir():
        raise PullError(f"{step.url} has no directory '{step.directory}' at {version}.")
    return Pulled(directory, version)


def _git(step: GitStep, cache: Path, into: Path, say: Say) -> str:
    mirror = Mirror(cache, step.url)

    def once() -> str:
        remove(into)  # what an earlier try has left
        commit, fetched = mirror.commit(step.commit, step.ref)
        check_out(mirror, commit, into, submodules=step.submodules)
        say(logging.INFO, f"Code: {step.url} at {commit}{' (fetched)' if fetched else ' (from the cache)'}.")
        if not step.submodules and (into / ".gitmodules").exists():
            say(logging.INFO, "Its submodules are not fetched: the git step does not say 'submodules: true'.")
        if found := pointers(into):
            say(logging.WARNING, _told_pointers(found))
        return commit

    return _tried(once, step.url, say, GitError, GitRefusedError)


def _told_pointers(found: Sequence[str]) -> str:
    others = f" and {len(found) - 3} more" if len(found) > 3 else ""
    some = ", ".join(found[:3])
    remedy = "Install git-lfs where runs start"
    return f"Pointers of Git LFS stand in the place of content: {some}{others}. {remedy}."


def _zip(step: ZipStep, into: Path, say: Say) -> str:
    def once() -> str:
        remove(into)
        with tempfile.TemporaryFile(dir=into.parent) as archive:
            digest = _download(step.url, archive)
            if step.sha256 is not None and digest != step.sha256:
                raise PullError(f"{step.url} is not what was deployed: its sha256 is {digest}.")
            extract(archive, into)
        return f"sha256:{digest}"

    version = _tried(once, step.url, say, Exception)  # fsspec's libraries raise what they like
    say(logging.INFO, f"Code: {step.url} at {version}.")
    return version


def _tried(
    once: Callable[[], T], what: str, say: Say, fault: type[Exception], final: type[Exception] = PullError
) -> T:
    """Call until it goes well; a fault that stays is told with the last reason."""
    for number, delay in enumerate(TRIES, start=1):
        time.sleep(delay)
        try:
            return once()
        except final as error:
            raise PullError(f"{what} could not be fetched: {error}") from None
        except fault as error:
            if number == len(TRIES):
                raise PullError(f"{what} could not be fetched in {number} tries: {error}") from None
            say(logging.WARNING, f"{what} could not be fetched, try {number} of {len(TRIES)}: {error}")
    raise AssertionError


def _download(url: str, archive: IO[bytes]) -> str:
    digest, size = hashlib.sha256(), 0
    with _opened(url) as source:
        while chunk := source.read(_CHUNK):
            size += len(chunk)
            if size > LARGEST_BYTES:
                raise PullError(f"{url} is larger than {LARGEST_BYTES // 2**20} MiB.")
            digest.update(chunk)
            archive.write(chunk)
    archive.seek(0)
    return digest.hexdigest()


def _opened(url: str) -> IO[bytes]:
    if "://" not in url:
        return Path(url).open("rb")
    try:
        import fsspec  # type: ignore[import-untyped]  # it has no types of its own
    except ImportError:
        message = f"Reading {url} needs fsspec. Install it where runs start: pip install 'reeve[remote]'."
        raise PullError(message) from None
    try:
        opened: IO[bytes] = fsspec.open(url, "rb").open()
    except ImportError as error:
        raise PullError(f"Reading {url} needs a library where runs start: {error}.") from None
    return opened


def extract(archive: IO[bytes], into: Path) -> None:
    """Unpack an archive; PullError for one that would write outside of ``into``, or is too large."""
    try:
        with zipfile.ZipFile(archive) as opened:
            members = opened.infolist()
            if len(members) > MOST_FILES or sum(one.file_size for one in members) > LARGEST_BYTES:
                raise PullError("The archive is too large when it is unpacked.")
            for member in members:
                _check_member(member)
            into.mkdir(parents=True)
            for member in members:
                _unpack(opened, member, into)
    except zipfile.BadZipFile as error:
        raise PullError(f"The archive is no zip file: {error}.") from None


def _check_member(member: zipfile.ZipInfo) -> None:
    kind = stat.S_IFMT(member.external_attr >> 16)
    path = PurePosixPath(member.filename)
    outside = (
        path.is_absolute()
        or ".." in path.parts
        or "\\" in member.filename
        or ":" in (path.parts or (":",))[0]
    )
    if outside or kind not in {0, stat.S_IFREG, stat.S_IFDIR}:
        what = "leads out of the archive" if outside else "is a link or a device"
        raise PullError(f"The archive is refused: {member.filename!r} {what}.")


def _unpack(opened: zipfile.ZipFile, member: zipfile.ZipInfo, into: Path) -> None:
    target = into / member.filename
    if member.is_dir():
        target.mkdir(parents=True, exist_ok=True)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    left = member.file_size  # the directory of the archive may lie
    with opened.open(member) as source, target.open("xb") as written:
        while chunk := source.read(_CHUNK):
            left -= len(chunk)
            if left < 0:
                raise PullError(f"The archive is refused: {member.filename!r} is larger than it says.")
            written.write(chunk)
    if member.external_attr >> 16 & stat.S_IXUSR:
        target.chmod(0o755)


def directory(parent: str) -> Path:
    """Make a directory for the code of one run."""
    return Path(tempfile.mkdtemp(prefix="reeve-code-", dir=parent))


def remove(directory: Path) -> None:
    """Delete what was fetched; what a run left unreadable stays."""
    shutil.rmtree(directory, ignore_errors=True)


def cache_directory(environ: Mapping[str, str]) -> Path:
    """Return where fetched code is kept for the runs to come."""
    home = environ.get("REEVE_HOME") or os.path.expanduser("~/.reeve")  # noqa: PTH111  # a text with "~" in it
    return Path(home) / "code"
