"""What a house changes in the process of a test, for as long as it stands: the settings, and the clock."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from reeve.settings import PREFIX


@contextmanager
def environment(settings: Mapping[str, str]) -> Iterator[None]:
    """Have these settings in the environment (``REEVE_…``) and no others of reeve's; then those of before."""
    before = _ours()
    _replace(settings)
    try:
        yield
    finally:
        _replace(before)


def _ours() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.startswith(PREFIX)}


def _replace(settings: Mapping[str, str]) -> None:
    for name in _ours():
        del os.environ[name]
    os.environ.update(settings)
