"""Which code it is: the commit it lies at, or a hash of its files."""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

GIT_SECONDS = 30.0
MOST_FILES = 2000  # a directory with more is no directory of flows; then the file alone is the code
CHANGED = "+changed"


def code_version(file: Path, root: Path) -> str:
    """Return the commit of the repository that a file lies in, marked where ``root`` has changes since.

    Without a repository it is a hash of the Python files below ``root``.
    """
    return _commit(root) or f"sha256:{_hash(file, root)[:16]}"


def _commit(root: Path) -> str | None:
    head = _git(root, "rev-parse", "--verify", "--quiet", "HEAD")
    if not head:
        return None
    changes = _git(root, "status", "--porcelain", "--untracked-files=normal", "--", ".")
    return head if changes == "" else f"{head}{CHANGED}"


def _git(root: Path, *arguments: str) -> str | None:
    """Return what git says; None where there is no git, or no repository."""
    # A repository may name programs to run; these are not wanted for a question.
    quiet = ("-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null")
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *quiet, *arguments],
            capture_output=True,
            text=True,
            timeout=GIT_SECONDS,
            check=False,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "GIT_OPTIONAL_LOCKS": "0"},
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _hash(file: Path, root: Path) -> str:
    files = sorted(_python_files(root))
    digest = hashlib.sha256()
    for each in files if len(files) <= MOST_FILES else [file]:
        name = os.path.relpath(each, root).encode()
        content = each.read_bytes()
        digest.update(b"%d %s %d " % (len(name), name, len(content)) + content)
    return digest.hexdigest()


def _python_files(root: Path) -> Iterator[Path]:
    found = 0
    for directory, below, names in os.walk(root):
        here = Path(directory)
        below[:] = sorted(
            name
            for name in below
            if not name.startswith((".", "__pycache__")) and not (here / name / "pyvenv.cfg").exists()
        )
        for name in names:
            if name.endswith(".py"):
                found += 1
                yield here / name
        if found > MOST_FILES:
            return
