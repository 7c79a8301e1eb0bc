"""Words of a package that are loaded on first use: a run needs ten operations of two hundred."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from sys import modules
from typing import Any


def loader(package: str, homes: Mapping[str, Sequence[str]]) -> Callable[[str], Any]:
    """Return the ``__getattr__`` of a package; ``homes`` maps its modules to the words that they define."""
    home_of = {word: home for home, words in homes.items() for word in words}

    def load(name: str) -> Any:
        if name not in home_of:
            raise AttributeError(f"module '{package}' has no attribute '{name}'")
        word = getattr(import_module(f"{package}.{home_of[name]}"), name)
        setattr(modules[package], name, word)
        return word

    return load
