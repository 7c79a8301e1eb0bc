"""Finding a flow by its entrypoint: ``flows.py:nightly`` or ``package.module:nightly``."""

from __future__ import annotations

import importlib
import os
import sys
from types import ModuleType
from typing import Any

from reeve.errors import ReeveError
from reeve.sdk.flows import Flow
from reeve.sdk.local import importing
from reeve.sdk.modules import FileModule, find_file
from reeve.sdk.tracebacks import of_user_code

_MOST_AT_HAND = 64


class FlowLoadError(ReeveError):
    """A flow could not be loaded."""

    code = "flow_load"


class EntrypointError(FlowLoadError):
    """An entrypoint is FILE.py:FLOW or MODULE:FLOW."""

    code = "entrypoint_invalid"


class EntrypointNotFoundError(FlowLoadError):
    """The file or module of an entrypoint does not exist."""

    code = "entrypoint_not_found"


class FlowImportError(FlowLoadError):
    """The user's code raised while it was imported. The message ends with where and what."""

    code = "flow_import_failed"


class FlowNotFoundError(FlowLoadError):
    """The code has no flow of this name."""

    code = "flow_not_found"


class NotAFlowError(FlowLoadError):
    """What the entrypoint names is no flow. Decorate the function with @flow."""

    code = "not_a_flow"


class FoundFlow:
    """Where a flow is, by its entrypoint: nothing of it was executed yet."""

    __slots__ = ("_base", "_file", "_folder", "_name", "_where", "is_new", "loaded", "module")

    def __init__(self, where: str, name: str, base: str) -> None:
        self._where = where
        self._name = name
        self._base = base
        self.loaded = False  # whether its code was executed, in this process or one that forked it
        self.is_new = False  # whether its code, as its file is now, was not at hand when it was asked for
        self._file = self._folder = ""
        self.module: FileModule | None = None
        if where.endswith(".py") or os.sep in where:
            self._file = os.path.join(base, where)  # noqa: PTH118  # pathlib costs each start 5 ms
            self._folder = os.path.dirname(self._file)  # noqa: PTH120  # as above
            self.module = _find_file(self._file)

    def load(self) -> Flow[Any, Any]:
        """Import the flow; see ``load_flow``."""
        self.loaded = True
        if self.module is None:
            return _flow_of(_import_module(self._where, self._base), self._name, self._where)
        if self._folder not in sys.path:
            sys.path.insert(0, self._folder)
        try:
            module = self.module.execute()
        except (Exception, SystemExit) as error:
            raise _import_failed(self._file, error) from error
        return _flow_of(module, self._name, self._where)


def load_flow(entrypoint: str, path: str | os.PathLike[str] | None = None) -> Flow[Any, Any]:
    """Import a flow.

    A file is looked for in ``path``, the current directory by default. The file's directory and ``path`` are
    put on ``sys.path`` and stay there, since flows may import their neighbours when they run.
    Raises one of the subclasses of FlowLoadError.
    """
    return find_flow(entrypoint, path).load()


def find_flow(entrypoint: str, path: str | os.PathLike[str] | None = None) -> FoundFlow:
    """Find out where a flow is, for ``load_flow``. Raises EntrypointError or EntrypointNotFoundError."""
    where, _, name = entrypoint.rpartition(":")
    if not where or not name.isidentifier():
        raise EntrypointError(f"'{entrypoint}' is no entrypoint. Write FILE.py:FLOW or MODULE:FLOW.")
    return FoundFlow(where, name, os.path.abspath(path or os.curdir))  # noqa: PTH100  # as above


def flow_at_hand(entrypoint: str, path: str | os.PathLike[str] | None = None) -> FoundFlow:
    """Find a flow with its code at hand, as the file is now; what is known of it from before is used again.

    For whoever forks the processes that load it. Raises as ``find_flow`` does, or what the file is faulty
    with.
    """
    # As it is if it is whole: what takes paths apart would cost a run a dozen pages.
    base = path if isinstance(path, str) and path.startswith("/") else os.path.abspath(path or os.curdir)  # noqa: PTH100  # as above
    key = (entrypoint, base)
    found = _at_hand.get(key)
    if found is None or found.loaded:
        while len(_at_hand) >= _MOST_AT_HAND:
            del _at_hand[next(iter(_at_hand))]
        found = _at_hand[key] = find_flow(*key)
    found.is_new = found.module is not None and found.module.compile()
    return found


_at_hand: dict[tuple[str, str], FoundFlow] = {}


def _find_file(file: str) -> FileModule:
    if not os.path.isfile(file):  # noqa: PTH113  # as above
        raise EntrypointNotFoundError(f"There is no file {file}.")
    base = os.path.basename(file)  # noqa: PTH119  # as above
    found = find_file(_module_name(base.removesuffix(".py")), file)
    if found is None:
        raise EntrypointError(f"{file} is no Python file. Its name must end with .py.")
    return found


def _module_name(stem: str) -> str:
    """Return a name under which the file's module hides no other."""
    taken = stem in sys.modules or stem in sys.stdlib_module_names
    return f"{stem}_flows" if taken else stem


def _import_module(name: str, base: str) -> ModuleType:
    if base not in sys.path:
        sys.path.insert(0, base)
    token = importing.set(True)
    try:
        return importlib.import_module(name)
    except (Exception, SystemExit) as error:
        # Only the module itself, or a package around it, may be what was not found.
        if isinstance(error, ModuleNotFoundError) and error.name and f"{name}.".startswith(f"{error.name}."):
            message = f"There is no module '{name}', in {base} or installed."
            raise EntrypointNotFoundError(message) from None
        raise _import_failed(f"module '{name}'", error) from error
    finally:
        importing.reset(token)


def _import_failed(what: str, error: BaseException) -> FlowImportError:
    # The places in the user's code help; the word "Traceback" only frightens.
    places = of_user_code(error).replace("Traceback (most recent call last):\n", "")
    return FlowImportError(f"Importing {what} raised:\n{places}")


def _flow_of(module: ModuleType, name: str, where: str) -> Flow[Any, Any]:
    found = getattr(module, name, None)
    if isinstance(found, Flow):
        return found
    flows = [other for other, value in vars(module).items() if isinstance(value, Flow)]
    there = f"Its flows: {', '.join(flows)}." if flows else "It has no flows: decorate a function with @flow."
    if found is None:
        raise FlowNotFoundError(f"{where} has no flow '{name}'. {there}")
    raise NotAFlowError(f"'{name}' in {where} is a {type(found).__name__}, not a flow. {there}")
