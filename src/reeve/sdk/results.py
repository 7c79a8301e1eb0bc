"""What values say: which results a call waits for, and what a returned value makes of its run.

Values stay in the process. A server is told that there was one, never what it was.
"""

from __future__ import annotations

from typing import Any, TypeAlias

from reeve.sdk.futures import TaskFuture
from reeve.sdk.states import Completed, Failed, RunFailedError, State

Part: TypeAlias = TaskFuture[Any] | State[Any]

_COLLECTIONS = (list, tuple, set, frozenset, dict)
_LOOKED_AT = (TaskFuture, State, *_COLLECTIONS)


def state_of(value: Any) -> State[Any]:
    """Return the final state of a run whose function returned ``value``.

    A state is taken as it is. Futures and states, alone or in a collection, make the run fail if one of them
    has failed; else their results are its value. Any other value completes the run.
    """
    if isinstance(value, State):
        return value
    states = [_settled(part) for part in parts(value)]
    failed = [state for state in states if not state.is_completed]
    if not failed:
        return Completed(value=resolved(value))
    # The words of 2.20; a lone state speaks for itself.
    message = failed[0].message if len(states) == 1 else f"{len(failed)}/{len(states)} states failed."
    return Failed(message, error=failed[0].error or RunFailedError(message))


def parts(value: Any) -> list[Part]:
    """Find the futures and states in a value: itself, or what lists, tuples, sets and mappings hold."""
    found: list[Part] = []
    seen: set[int] = set()
    pending = [value]
    while pending:
        item = pending.pop()
        if isinstance(item, TaskFuture | State):
            found.append(item)
        elif isinstance(item, _COLLECTIONS) and id(item) not in seen:
            seen.add(id(item))
            inner = item.values() if isinstance(item, dict) else item
            pending.extend(one for one in inner if isinstance(one, _LOOKED_AT))
    return found[::-1]


def resolved(value: Any) -> Any:
    """Put results in the place of futures and states; what holds none of them is returned as it is."""
    if isinstance(value, TaskFuture | State):
        return _settled(value).result()
    if not parts(value):
        return value
    if isinstance(value, dict):
        return {key: resolved(item) for key, item in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_fields"):  # a named tuple takes its fields one by one
        return type(value)(*(resolved(item) for item in value))
    kind = next(kind for kind in (list, tuple, set, frozenset) if isinstance(value, kind))
    return kind(resolved(item) for item in value)


def _settled(part: Part) -> State[Any]:
    state = part if isinstance(part, State) else part.state
    assert state is not None, "a flow waits for its tasks, and a task for what it needs"
    return state
