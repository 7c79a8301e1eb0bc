"""Modules that are loaded from files, under names that the files may not have."""

from __future__ import annotations

import importlib.util
import os
import sys
from types import CodeType, ModuleType

from reeve.sdk.local import importing

_begin, _end = importing.set, importing.reset  # looked up here once for all runs

loaded_files: dict[str, str] = {}  # by module, for whoever has to load them as well


class FileModule:
    """A file as a module that was not executed yet, and is in nobody's way."""

    __slots__ = ("_code", "_file", "_module", "_seen")

    def __init__(self, file: str, module: ModuleType, code: CodeType | None = None) -> None:
        self._file = file
        self._module = module
        self._code = code
        self._seen: tuple[int, ...] = ()  # what tells the file that the code is of from others

    def compile(self) -> bool:
        """Have the code at hand as its file is; return whether it was not. Raises what it is faulty with."""
        status = os.stat(self._file)  # noqa: PTH116  # pathlib costs each start 5 ms
        # A link may be led to another file of the same time and size, as where times are made reproducible.
        seen = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
        if self._seen == seen:
            return False
        self._seen, self._code = seen, _code_of(self._module)
        return True

    def execute(self) -> ModuleType:
        """Be the module from now on. What its code raises passes through."""
        module = self._module
        name = module.__name__
        sys.modules[name] = module  # where dataclasses and pickle look their module up
        token = _begin(True)
        try:
            exec(self._code or _code_of(module), module.__dict__)  # noqa: S102  # as an import does
        except (Exception, SystemExit):
            del sys.modules[name]
            raise
        finally:
            _end(token)
        loaded_files[name] = self._file
        return module


def find_file(name: str, file: str) -> FileModule | None:
    """Return a file as the module ``name``, not yet executed; None if it is no Python file."""
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        return None
    return FileModule(file, importlib.util.module_from_spec(spec))


def load_file(name: str, file: str) -> ModuleType | None:
    """Import a file as the module ``name``; None if it is no Python file. What it raises passes through."""
    found = find_file(name, file)
    return found.execute() if found else None


def _code_of(module: ModuleType) -> CodeType:
    code: CodeType = module.__loader__.get_code(module.__name__)  # type: ignore[union-attr]
    return code
