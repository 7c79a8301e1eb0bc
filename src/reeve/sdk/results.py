"""What values say: which results a call waits for, and what a returned value makes of its run.

Values stay in the process. A server is told that there was one, never what it was.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from reeve.sdk.futures import TaskFuture, allow_failure
from reeve.sdk.states import Completed, Failed, RunFailedError, State

Part: TypeAlias = TaskFuture[Any] | State[Any]

_COLLECTIONS = (list, tuple, set, frozenset, dict)
_LOOKED_AT = (TaskFuture, State, allow_failure, *_COLLECTIONS)


def state_of(value: Any) -> State[Any]:
    """Return the final state of a run whose function returned ``value``.

    A state is taken as it is. Futures and states, alone or in a collection, make the run fail if one of them
    has failed; else their results are its value. Any other value completes the run.
    """
    if not isinstance(value, _LOOKED_AT):
        return Completed(value=value)
    if isinstance(value, State):
        return value
    states = [_settled(part) for part in parts(value, tolerated=False)]
    failed = [state for state in states if not state.is_completed]
    if not failed:
        return Completed(value=resolved(value))
    # The words of 2.20; a lone state speaks for itself.
    message = failed[0].message if len(states) == 1 else f"{len(failed)}/{len(states)} states failed."
    return Failed(message, error=failed[0].error or RunFailedError(message))


def parts(value: Any, *, tolerated: bool = True) -> list[Part]:
    """Find the futures and states in a value: itself, or what lists, tuples, sets and mappings hold.

    ``tolerated``: also those whose failure is allowed.
    """
    found: list[Part] = []
    for item in _find(value):
        if not isinstance(item, allow_failure):
            found.append(item)
        elif tolerated:
            found.extend(parts(item.value))
    return found


def resolved(value: Any) -> Any:
    """Put results in the place of futures and states; what holds none of them is returned as it is."""
    return _replaced(value, lambda part: _settled(part).result())


def _find(value: Any) -> list[Part | allow_failure[Any]]:
    found: list[Part | allow_failure[Any]] = []
    seen: set[int] = set()
    pending = [value]
    while pending:
        item = pending.pop()
        if isinstance(item, TaskFuture | State | allow_failure):
            found.append(item)
        elif isinstance(item, _COLLECTIONS) and id(item) not in seen:
            seen.add(id(item))
            inner = item.values() if isinstance(item, dict) else item
            pending.extend(one for one in inner if isinstance(one, _LOOKED_AT))
    return found[::-1]


def _replaced(value: Any, read: Callable[[Part], Any]) -> Any:
    if isinstance(value, TaskFuture | State):
        return read(value)
    if isinstance(value, allow_failure):
        return _replaced(value.value, _result_or_error)
    if not _find(value):
        return value
    if isinstance(value, dict):
        return {key: _replaced(item, read) for key, item in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_fields"):  # a named tuple takes its fields one by one
        return type(value)(*(_replaced(item, read) for item in value))
    kind = next(kind for kind in (list, tuple, set, frozenset) if isinstance(value, kind))
    return kind(_replaced(item, read) for item in value)


def _result_or_error(part: Part) -> Any:
    state = _settled(part)
    try:
        return state.result()
    except Exception as error:  # noqa: BLE001  # it was asked for in the place of the value
        return error


def _settled(part: Part) -> State[Any]:
    state = part if isinstance(part, State) else part.state
    assert state is not None, "a flow waits for its tasks, and a task for what it needs"
    return state
