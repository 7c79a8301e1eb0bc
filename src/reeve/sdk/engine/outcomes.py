"""How one call of the user's function ended. BaseExceptions are no outcomes: they pass through the script."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias


@dataclass(frozen=True, slots=True)
class Returned:
    """The function returned."""

    value: Any


@dataclass(frozen=True, slots=True)
class Raised:
    """The function raised."""

    error: Exception


@dataclass(frozen=True, slots=True)
class TimedOut:
    """The function was stopped because its time was over."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Died:
    """The process that executed the function, another one, is gone."""

    error: Exception


Outcome: TypeAlias = Returned | Raised | TimedOut | Died
