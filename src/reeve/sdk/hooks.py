"""Functions of the user's that are called when a run enters a state."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias, TypeVar

from reeve.core.states import StateType
from reeve.errors import InvalidInputError

Hook: TypeAlias = Callable[[Any, Any, Any], Any]
HookT = TypeVar("HookT", bound=Hook)
Given: TypeAlias = Hook | Iterable[Hook] | None
Hooks: TypeAlias = dict[StateType, list[Hook]]


def hooks_of(owner: str, given: Mapping[str, tuple[StateType, Given]]) -> Hooks:
    """Sort hooks by the state they are for, if there are any; ``given`` by the name of their option."""
    checked = {state: _checked(owner, option, hooks) for option, (state, hooks) in given.items()}
    return {state: hooks for state, hooks in checked.items() if hooks}


def _checked(owner: str, option: str, given: Given) -> list[Hook]:
    hooks = [given] if callable(given) else list(given or ())
    for hook in hooks:
        if not callable(hook):
            raise InvalidInputError(f"{owner}: {option} takes functions, got {hook!r}", field=option)
    return hooks
