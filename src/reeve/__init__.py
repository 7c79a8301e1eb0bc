"""reeve runs Python flows on schedule, on any machine you own, and proves what became of them.

The public words below are loaded on first use, so that ``import reeve`` costs next to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from reeve.errors import ReeveError
    from reeve.sdk.caching import INPUTS, CacheContext
    from reeve.sdk.context import RunInfo, current_run
    from reeve.sdk.flows import Flow, flow
    from reeve.sdk.futures import TaskFuture, TaskFutures, allow_failure, unmapped
    from reeve.sdk.load import load_flow
    from reeve.sdk.logging import get_run_logger
    from reeve.sdk.parameters import ParameterError
    from reeve.sdk.retries import exponential_backoff
    from reeve.sdk.states import Completed, EndRun, Failed, RunFailedError, RunTimedOutError, State
    from reeve.sdk.storage import ResultError
    from reeve.sdk.tasks import Task, task
    from reeve.sdk.waiting import as_completed, wait

_HOMES = {
    "reeve.errors": ("ReeveError",),
    "reeve.sdk.caching": ("INPUTS", "CacheContext"),
    "reeve.sdk.context": ("RunInfo", "current_run"),
    "reeve.sdk.flows": ("Flow", "flow"),
    "reeve.sdk.futures": ("TaskFuture", "TaskFutures", "allow_failure", "unmapped"),
    "reeve.sdk.load": ("load_flow",),
    "reeve.sdk.logging": ("get_run_logger",),
    "reeve.sdk.parameters": ("ParameterError",),
    "reeve.sdk.retries": ("exponential_backoff",),
    "reeve.sdk.states": ("Completed", "EndRun", "Failed", "RunFailedError", "RunTimedOutError", "State"),
    "reeve.sdk.storage": ("ResultError",),
    "reeve.sdk.tasks": ("Task", "task"),
    "reeve.sdk.waiting": ("as_completed", "wait"),
}
_HOME_OF = {word: home for home, words in _HOMES.items() for word in words}

__all__ = [
    "INPUTS",
    "CacheContext",
    "Completed",
    "EndRun",
    "Failed",
    "Flow",
    "ParameterError",
    "ReeveError",
    "ResultError",
    "RunFailedError",
    "RunInfo",
    "RunTimedOutError",
    "State",
    "Task",
    "TaskFuture",
    "TaskFutures",
    "allow_failure",
    "as_completed",
    "current_run",
    "exponential_backoff",
    "flow",
    "get_run_logger",
    "load_flow",
    "task",
    "unmapped",
    "wait",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'reeve' has no attribute '{name}'")
    from importlib import import_module

    word = getattr(import_module(_HOME_OF[name]), name)
    globals()[name] = word
    return word


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
