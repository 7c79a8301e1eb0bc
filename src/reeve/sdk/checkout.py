"""The files of a commit, with those of its submodules, and what Git LFS has left undone."""

from __future__ import annotations

import os
from pathlib import Path

from reeve.sdk.git import GitError, GitRefusedError, Mirror

_POINTER = b"version https://git-lfs.github.com/spec/v1\n"
_POINTER_BYTES = 1024  # no pointer is longer, by the specification of Git LFS


def check_out(mirror: Mirror, commit: str, into: Path, *, submodules: bool) -> None:
    """Write the files of a commit into a new directory; raises GitError.

    ``submodules``: and theirs, each at the commit that the repository around it says.
    """
    _check_out(mirror, commit, into, into, submodules=submodules)


def _check_out(mirror: Mirror, commit: str, place: Path, root: Path, *, submodules: bool) -> None:
    # Beside all that is fetched, where no file of a repository can be meant.
    mirror.checkout(commit, place, root.with_name(f"{root.name}.index"))
    for one in mirror.submodules(commit) if submodules else ():
        inner = place / one.path
        if not inner.resolve().is_relative_to(root.resolve()):
            raise GitRefusedError(f"its submodule '{one.path}' lies outside of it.")
        within = Mirror(mirror.cache, one.url)
        try:
            within.commit(one.commit, None)
            _check_out(within, one.commit, inner, root, submodules=True)
        except GitError as error:
            raise type(error)(f"its submodule '{one.path}' ({one.url}): {error}") from None


def pointers(directory: Path) -> list[str]:
    """Return the files that stand for others, which Git LFS was to fetch; by their paths within, in order.

    Where no .gitattributes at the top says that there may be some, none is looked for.
    """
    try:
        if b"filter=lfs" not in (directory / ".gitattributes").read_bytes():
            return []
    except OSError:
        return []
    found = [
        Path(at, name) for at, _, names in os.walk(directory) for name in names if _is_pointer(Path(at, name))
    ]
    return sorted(str(path.relative_to(directory)) for path in found)


def _is_pointer(path: Path) -> bool:
    if path.is_symlink() or path.stat().st_size > _POINTER_BYTES:
        return False
    return path.read_bytes().startswith(_POINTER)
