"""Pull steps: where the code of a deployment is fetched from when a run starts. Pure: what they may say."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, TypeAlias

import msgspec

from reeve.errors import InvalidInputError

# A commit is named in full: a short one may come to mean another.
COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
# Of git's own rules for names of branches and tags those that no shell, option or path can misread.
_REF = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./+-]*")
_SCP = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*@[A-Za-z0-9][A-Za-z0-9.-]*:[A-Za-z0-9_./~][^\s]*")
GIT_SCHEMES = frozenset({"https", "ssh", "file"})
_URL = re.compile(
    r"(https|ssh)://([^/@:]+(?P<password>:[^/@]*)?@)?(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9][A-Za-z0-9.-]*)(:\d+)?(/.*)?"
    r"|file:///.*"
)
# fsspec chains file systems with "::"; one is enough for a file.
_ARCHIVE = re.compile(r"(?!.*::)([a-z][a-z0-9+]*://[^-].*|/.+)")
_PASSWORD = re.compile(r"[a-z0-9+]+://[^/@]*:[^/@]*@")
_PREFIX = "reeve."


class PathStep(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag=False):
    """A directory of the machine that runs it."""

    directory: str


class GitStep(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A repository: at a ``commit``, or at what a ``ref`` (a branch or tag; HEAD) is when the run starts.

    ``directory``: the part of it in which the entrypoint is. ``submodules``: fetch those too, each at the
    commit that the repository says, and theirs.
    """

    url: str
    ref: str | None = None
    commit: str | None = None
    directory: str | None = None
    submodules: bool = False


class ZipStep(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An archive: a path, or a URL that fsspec reads. ``sha256``: what its content must be."""

    url: str
    sha256: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")] | None = None
    directory: str | None = None


Step: TypeAlias = PathStep | GitStep | ZipStep
_TYPES: dict[str, type[Step]] = {"path": PathStep, "git": GitStep, "zip": ZipStep}
KINDS = tuple(_TYPES)


def read_step(said: Mapping[str, Any]) -> dict[str, Any]:
    """Read ``{"git": {"url": …}}`` and return it as a deployment keeps it; raises InvalidInputError."""
    if len(said) != 1:
        raise InvalidInputError(f"a pull step is one of {', '.join(KINDS)}", field="pull")
    ((kind, fields),) = said.items()
    step = _convert(kind, fields)
    kept = {name: value for name, value in msgspec.structs.asdict(step).items() if value not in (None, False)}
    return {_PREFIX + kind: kept}


def kept_step(kept: Mapping[str, Any]) -> Step:
    """Read a step as a deployment keeps it; raises InvalidInputError for one of another engine."""
    kinds = [name for name in kept if name.startswith(_PREFIX)]
    if len(kept) != 1 or not kinds:
        names = ", ".join(map(str, kept))
        raise InvalidInputError(
            f"the pull step {names!r} is none of reeve's: {', '.join(KINDS)}", field="pull_steps"
        )
    return _convert(kinds[0].removeprefix(_PREFIX), kept[kinds[0]])


def _convert(kind: str, fields: Any) -> Step:
    if kind not in _TYPES:
        raise InvalidInputError(f"{kind!r} is no pull step; there are {', '.join(KINDS)}", field="pull")
    try:
        step = msgspec.convert(fields, _TYPES[kind])
    except msgspec.ValidationError as error:
        raise InvalidInputError(f"{kind}: {error}", field=kind) from None
    _check(step)
    return step


def _check(step: Step) -> None:
    if isinstance(step, PathStep):
        return
    if step.directory is not None:
        check_inside(step.directory)
    if isinstance(step, ZipStep):
        check_archive(step.url)
    if isinstance(step, GitStep):
        check_url(step.url)
        if step.ref is not None and step.commit is not None:
            raise InvalidInputError("git: give 'ref' or 'commit', not both", field="commit")
        if step.ref is not None:
            check_ref(step.ref)
        if step.commit is not None and not COMMIT.fullmatch(step.commit):
            raise InvalidInputError(
                f"git: {step.commit!r} is no commit; give all 40 digits, as git rev-parse prints them",
                field="commit",
            )


def check_url(url: str) -> None:
    """Raise InvalidInputError for what git could take for an option or a program to run."""
    if not _printable(url):
        raise _no_url(url)
    if url.startswith("/") or _SCP.fullmatch(url):
        return
    found = _URL.fullmatch(url)
    if found is None:
        raise _no_url(url)
    if found["password"]:
        raise InvalidInputError(
            "git: a password in 'url' would be stored and shown; let git's credential helper have it",
            field="url",
        )


def submodule_url(parent: str, said: str) -> str:
    """Return where a submodule is that a repository names, perhaps as seen from itself: ``../other.git``.

    Raises InvalidInputError for what ``check_url`` refuses, and for a place on this machine unless the
    repository is on it too: else a repository could have other people's directories read.
    """
    url = said
    if said.startswith(("./", "../")):
        base, slash = parent.rstrip("/"), "/"
        while said.startswith(("./", "../")):
            step, _, said = said.partition("/")
            if step == "..":
                cut = max(base.rfind("/"), base.rfind(":"), 0)
                base, slash = base[:cut], base[cut : cut + 1]
        url = f"{base}{slash}{said}"
    check_url(url)
    if _is_local(url) and not _is_local(parent):
        raise InvalidInputError(f"git: the submodule {url!r} is a place on this machine", field="url")
    return url


def _is_local(url: str) -> bool:
    return url.startswith(("/", "file:"))


def check_archive(url: str) -> None:
    """Raise InvalidInputError for what is neither a path nor the URL of one file."""
    if not _printable(url) or not _ARCHIVE.fullmatch(url):
        raise InvalidInputError(f"zip: {url!r} is not taken; write /path, or a URL like s3://…", field="url")
    if _PASSWORD.match(url):
        raise InvalidInputError(
            "zip: a password in 'url' would be stored and shown; let the environment of the runs have it",
            field="url",
        )


def _no_url(url: str) -> InvalidInputError:
    return InvalidInputError(
        f"git: {url!r} is not taken; write https://…, ssh://…, user@host:path, file://… or /path", field="url"
    )


def check_ref(ref: str) -> None:
    """Raise InvalidInputError for what is no plain name of a branch or a tag."""
    if not _REF.fullmatch(ref) or ".." in ref or "//" in ref or ref.endswith(("/", ".", ".lock")):
        raise InvalidInputError(f"git: {ref!r} is no name of a branch or tag", field="ref")


def check_inside(directory: str) -> None:
    """Raise InvalidInputError for a directory that leads out of where it should lie."""
    if directory.startswith("/") or ".." in directory.split("/") or not _printable(directory):
        raise InvalidInputError(f"{directory!r} must lie inside of what is fetched", field="directory")


def _printable(text: str) -> bool:
    return text.isprintable() and " " not in text
