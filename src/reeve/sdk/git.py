"""Repositories of runs' code: a mirror for each URL, fetched under a lock, and a tree for each run.

Git is a program: it is given lists of arguments, never a line for a shell, with ``--`` before what was typed
by somebody. URLs and names have been checked (core.pull_steps), and protocols that start programs are off.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from reeve.core.pull_steps import COMMIT, check_ref, check_url, submodule_url
from reeve.errors import InvalidInputError, ReeveError

FETCH_SECONDS = 600.0
_ALLOWED = ("https", "ssh", "file")
_SAFE = (
    *("-c", "protocol.allow=never"),
    *(word for name in _ALLOWED for word in ("-c", f"protocol.{name}.allow=always")),
    *("-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false", "-c", "gc.auto=0"),
)
# What "git lfs install" writes: to have installed the program is enough.
_LFS = (
    *("-c", "filter.lfs.process=git-lfs filter-process", "-c", "filter.lfs.smudge=git-lfs smudge -- %f"),
    *("-c", "filter.lfs.required=true"),
)
_GITLINK = "160000 commit "  # what stands for a submodule in a tree
_REFSPECS = ("+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*", "+HEAD:refs/reeve/head")


class GitError(ReeveError):
    """Git failed, perhaps for now only."""

    code = "git_failed"


class GitRefusedError(GitError):
    """What is wanted is not there, or no git is: to try again does not help."""

    code = "git_refused"


class Submodule(NamedTuple):
    """A repository in a directory of another one, and its commit there."""

    path: str
    url: str
    commit: str


class Mirror:
    """What is known of one repository on this machine."""

    def __init__(self, cache: Path, url: str) -> None:
        check_url(url)
        self.url = url
        self.cache = cache
        name = hashlib.sha256(url.encode()).hexdigest()[:32]
        self._root = cache / "git" / name
        self._bare = self._root / "mirror.git"

    def commit(self, commit: str | None, ref: str | None) -> tuple[str, bool]:
        """Return the commit that is meant, fetched if need be, and whether it was.

        A named commit that is here is not asked for again. Of runs that ask at once, one fetches.
        """
        asked = time.time_ns()
        if commit is not None:
            if self._has(commit):
                return commit, False
            with self._locked():
                fetched = not self._has(commit)
                if fetched:
                    self._fetch(commit)
            return commit, fetched
        with self._locked():
            fetched = self._fetched_at() < asked
            if fetched:
                self._fetch(None)
            return self._resolve(ref), fetched

    def checkout(self, commit: str, into: Path, index: Path) -> None:
        """Write the files of a commit into a new or empty directory.

        A mirror may serve many of these at once. ``index``: where git may keep a file in the meantime.
        """
        into.mkdir(parents=True, exist_ok=True)
        environ = {"GIT_INDEX_FILE": str(index), "GIT_WORK_TREE": str(into)}
        try:
            self._git("read-tree", "--end-of-options", commit, environ=environ)
            # The name of a remote is what Git LFS asks for content.
            lfs = (*_LFS, "-c", f"remote.origin.url={self.url}") if shutil.which("git-lfs") else ()
            self._git(*lfs, "checkout-index", "--all", "--force", environ=environ, cwd=into)
        finally:
            index.unlink(missing_ok=True)

    def submodules(self, commit: str) -> list[Submodule]:
        """Return the submodules of a commit; GitRefusedError for one that must not, or cannot, be fetched."""
        tree = self._git("ls-tree", "-r", "-z", "--full-tree", commit).split("\0")
        links = [one.partition("\t") for one in tree if one.startswith(_GITLINK)]
        pinned = {path: entry.removeprefix(_GITLINK) for entry, _, path in links}
        if not pinned:
            return []
        urls = self._submodule_urls(commit)
        if unnamed := sorted(pinned.keys() - urls.keys()):
            raise GitRefusedError(f"its .gitmodules does not say where the submodule '{unnamed[0]}' is.")
        try:
            return [Submodule(path, submodule_url(self.url, urls[path]), pinned[path]) for path in pinned]
        except InvalidInputError as error:
            raise GitRefusedError(f"of its submodules: {error.message}.") from None

    def _submodule_urls(self, commit: str) -> dict[str, str]:
        """Return what .gitmodules says: the URL of each path."""
        said = self._ask("config", "--blob", f"{commit}:.gitmodules", "--null", "--list") or ""
        values = dict(one.split("\n", 1) for one in said.split("\0") if "\n" in one)
        return {
            path: values[url]
            for name, path in values.items()
            if name.endswith(".path") and (url := name.removesuffix("path") + "url") in values
        }

    def _has(self, commit: str) -> bool:
        if not COMMIT.fullmatch(commit):
            raise GitRefusedError(f"{commit!r} is no commit.")
        return self._bare.is_dir() and self._ask("cat-file", "-e", f"{commit}^{{commit}}") is not None

    def _resolve(self, ref: str | None) -> str:
        if ref is not None:
            check_ref(ref)
        names = ["refs/reeve/head"] if ref is None else [f"refs/heads/{ref}", f"refs/tags/{ref}"]
        for name in names:
            found = self._ask("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
            if found:
                return found
        raise GitRefusedError(f"it has no branch or tag {ref!r}." if ref else "it has no commit yet.")

    def _fetch(self, commit: str | None) -> None:
        """Bring the mirror up to date; the lock is held. When it began is when it was true."""
        began = time.time_ns()
        if not self._bare.is_dir():
            self._git("init", "--bare", "--quiet", "--template=", "--", str(self._bare), inside=False)
        options = ("--quiet", "--prune", "--force", "--no-recurse-submodules", "--no-write-fetch-head")
        self._git("fetch", *options, "--", self.url, *_REFSPECS)
        if commit is not None and not self._has(commit):
            # One that no branch leads to; most servers give it when it is asked for by name.
            try:
                self._git("fetch", "--quiet", "--no-write-fetch-head", "--", self.url, commit)
            except GitError:
                raise GitRefusedError(f"it has no commit {commit}.") from None
        stamp = self._root / "fetched"
        stamp.touch()
        os.utime(stamp, ns=(began, began))

    def _fetched_at(self) -> int:
        try:
            return (self._root / "fetched").stat().st_mtime_ns
        except FileNotFoundError:
            return 0

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Have nobody else on this machine fetch; the lock ends with the process."""
        self._root.mkdir(parents=True, exist_ok=True, mode=0o700)
        with (self._root / "lock").open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _ask(self, *arguments: str) -> str | None:
        try:
            return self._git(*arguments).strip()
        except GitRefusedError:
            raise
        except GitError:
            return None

    def _git(
        self,
        *arguments: str,
        environ: dict[str, str] | None = None,
        cwd: Path | None = None,
        inside: bool = True,
    ) -> str:
        where = (f"--git-dir={self._bare}",) if inside else ()
        try:
            done = subprocess.run(
                ["git", *where, *_SAFE, *arguments],
                cwd=cwd or self._root,
                env={**_environment(), **(environ or {})},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=FETCH_SECONDS,
                check=False,
            )
        except FileNotFoundError:
            raise GitRefusedError("there is no git on this machine. Install it.") from None
        except subprocess.TimeoutExpired:
            raise GitError(f"git did not answer within {FETCH_SECONDS:.0f} s.") from None
        if done.returncode:
            raise GitError(_last_words(done.stderr) or f"git ended with code {done.returncode}.")
        return done.stdout


def _environment() -> dict[str, str]:
    """Return the environment without what would lead git elsewhere, or have it ask somebody."""
    kept = {name: text for name, text in os.environ.items() if not name.startswith("GIT_")}
    ssh = {name: os.environ[name] for name in ("GIT_SSH_COMMAND", "GIT_SSH") if name in os.environ}
    return {**kept, **ssh, "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}


def _last_words(stderr: str) -> str:
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    told = [line for line in lines if re.match(r"(fatal|error):", line)]
    return " ".join((told or lines)[-2:])
