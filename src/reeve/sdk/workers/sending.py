"""One try of a task's function, sent to a worker."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from types import MethodType
from typing import Any, Protocol

from reeve.sdk.context import Surroundings
from reeve.sdk.engine.outcomes import Outcome
from reeve.sdk.engine.run import Run
from reeve.sdk.runners import Workers
from reeve.sdk.workers.crossing import RemoteCall


class Sent(Protocol):
    """What is asked of a task: its function, and what it is called."""

    fn: Callable[..., Any]
    name: str
    tags: tuple[str, ...]

    @property
    def owner(self) -> str:
        """What messages about the task begin with."""


def send(
    workers: Workers,
    task: Sent,
    run: Run,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    around: Surroundings,
) -> Outcome:
    """Have a worker call a task's function, and wait for how that ends."""
    method = task.fn if isinstance(task.fn, MethodType) else None
    call = RemoteCall(
        function=workers.reference(task.owner, method.__func__ if method else task.fn),
        receiver=(method.__self__,) if method else (),
        args=args,
        kwargs=dict(kwargs),
        run_id=run.id,
        name=run.name,
        task_name=task.name,
        tags=task.tags,
        timeout=run.timeout,
        tries=run.tries,
        flow_run_id=around.flow_run_id,
        process_id=around.process_id,
        flow_name=around.flow_name,
        origin=(around.origin.attempt, around.origin.deployment_name, tuple(around.origin.tags)),
        log_prints=around.log_prints,
        log_level=logging.getLogger("reeve").getEffectiveLevel(),
        results=around.results,
        server=around.reporter.server,
    )
    outcome: Outcome = workers.call(task.owner, call)
    return outcome
