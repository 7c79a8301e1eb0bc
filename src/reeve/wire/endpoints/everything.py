"""All operations, for who serves or describes them."""

from __future__ import annotations

import sys
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

from reeve.wire.endpoints.table import Endpoint

E = Endpoint[Any, Any]

ENDPOINTS: tuple[E, ...] = tuple(
    word
    for module in iter_modules(sys.modules[__package__].__path__)
    if module.name != "everything"
    for word in vars(import_module(f"{__package__}.{module.name}")).values()
    if isinstance(word, Endpoint)
)
