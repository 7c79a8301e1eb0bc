"""How calls are pickled for workers that may not have the code of the flow: functions with their code."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import cloudpickle

from reeve.sdk.modules import loaded_files
from reeve.sdk.runners import Abandoned
from reeve.sdk.workers.crossing import Ended, Named, NotPicklableError, reference


def function(owner: str, fn: Callable[..., Any]) -> Named | Callable[..., Any]:
    """Return the function's name if workers can import its module; else the function itself."""
    module = sys.modules.get(fn.__module__)
    if fn.__module__ in loaded_files and module is not None:
        cloudpickle.register_pickle_by_value(module)
        return fn
    if fn.__module__ == "__main__":
        return fn
    try:
        return reference(owner, fn)
    except NotPicklableError:
        return fn


def refuse_stopped(told: Ended) -> None:
    """Raise what ended a call from outside, if something did."""
    stops: dict[str, type[BaseException]] = {"SystemExit": SystemExit}
    if told[0] == "stopped":
        raise stops.get(told[1], Abandoned)(*told[2])
