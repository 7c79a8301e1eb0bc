"""Modules that are loaded from files, under names that the files may not have."""

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType

from reeve.sdk.local import importing

loaded_files: dict[str, str] = {}  # by module, for whoever has to load them as well


def load_file(name: str, file: str) -> ModuleType | None:
    """Import a file as the module ``name``; None if it is no Python file. What it raises passes through."""
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        return None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # where dataclasses and pickle look their module up
    try:
        with importing():
            spec.loader.exec_module(module)
    except (Exception, SystemExit):
        del sys.modules[name]
        raise
    loaded_files[name] = file
    return module
