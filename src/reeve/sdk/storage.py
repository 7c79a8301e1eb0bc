"""Where results lie: a folder, or whatever place fsspec has a name for."""

from __future__ import annotations

import os
from contextlib import suppress
from importlib.util import find_spec
from typing import Any
from uuid import uuid4

from reeve.errors import InvalidInputError, ReeveError


class ResultError(ReeveError):
    """A result could not be written or read."""

    code = "result"


class Storage:
    """A place for files by key. ``place`` is a folder, or a URL such as ``s3://bucket/results``."""

    def __init__(self, place: str) -> None:
        self.place = place if is_url(place) else os.path.abspath(os.path.expanduser(place))  # noqa: PTH100, PTH111  # pathlib costs each start 5 ms

    def write(self, key: str, content: bytes) -> None:
        """Put a file there, whole or not at all; ResultError if that is not possible."""
        try:
            if is_url(self.place):
                self._write_remote(key, content)
            else:
                _write_file(os.path.join(self.place, key), content)  # noqa: PTH118  # as above
        except ReeveError:
            raise
        except Exception as error:
            raise ResultError(f"{self.place}/{key} could not be written: {error!r}") from error

    def read(self, key: str) -> bytes | None:
        """Return what lies under the key, or None; ResultError if the place cannot be read."""
        try:
            if is_url(self.place):
                files, path = _remote(self.place)
                return bytes(files.cat_file(f"{path}/{key}"))
            with open(os.path.join(self.place, key), "rb") as file:  # noqa: PTH118, PTH123  # as above
                return file.read()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except ReeveError:
            raise
        except Exception as error:
            raise ResultError(f"{self.place}/{key} could not be read: {error!r}") from error

    def _write_remote(self, key: str, content: bytes) -> None:
        files, path = _remote(self.place)
        target = f"{path}/{key}"
        files.makedirs(target.rpartition("/")[0], exist_ok=True)
        files.pipe_file(target, content)


def is_url(place: str) -> bool:
    """Say whether a place is for fsspec to find."""
    return "://" in place


def checked_storage(owner: str, place: str | os.PathLike[str] | None) -> str | None:
    """Return the place as text; InvalidInputError for a URL that nothing here can open."""
    if place is None:
        return None
    text = os.fspath(place)
    if is_url(text) and find_spec("fsspec") is None:
        raise InvalidInputError(f"{owner}: result_storage {_NEEDS}", field="result_storage")
    return text


_NEEDS = "is a URL, for which fsspec is needed: pip install 'reeve[remote]'"


def _remote(place: str) -> tuple[Any, str]:
    try:
        from fsspec.core import url_to_fs  # type: ignore[import-untyped]  # it has no types
    except ImportError:
        raise ResultError(f"{place} {_NEEDS}") from None
    files, path = url_to_fs(place)
    return files, path.rstrip("/")


def _write_file(path: str, content: bytes) -> None:
    """Write beside the place and rename: who reads finds all or nothing, after a loss of power too."""
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)  # noqa: PTH103, PTH120  # as above
    draft = f"{path}.{uuid4().hex}"
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, path)  # noqa: PTH105  # as above
    except BaseException:
        with suppress(OSError):
            os.unlink(draft)  # noqa: PTH108  # as above
        raise
