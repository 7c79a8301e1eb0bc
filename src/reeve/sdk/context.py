"""What a run finds around itself: which run it is, who hears of it, and the tasks it has started.

The surroundings travel in a context variable, into tasks on threads and on the event loop alike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextvars import ContextVar, Token
from dataclasses import dataclass
from typing import Any, Self
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from reeve.errors import ReeveError
from reeve.sdk.engine.run import Reporter, Run
from reeve.sdk.persisting import NOTHING_SAID, Persisting
from reeve.sdk.started import StartedTasks


class NoActiveRunError(ReeveError):
    """There is no flow run or task run here. Call this inside a flow or a task."""

    code = "no_active_run"


class Origin(Struct, frozen=True, kw_only=True):
    """Where a flow run comes from, as the agent that launched it says."""

    attempt: int = 1
    deployment_name: str | None = None
    tags: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RunInfo:
    """The run that is being executed, as its own code may want to know it.

    ``attempt`` counts the processes that have tried the flow run; ``try_number`` how often this process has
    begun this run: once, and once more for each retry. Both start with 1.
    """

    id: UUID
    name: str
    flow_run_id: UUID | None
    flow_name: str | None
    task_name: str | None
    parameters: Mapping[str, Any]
    attempt: int
    try_number: int
    deployment_name: str | None
    tags: Sequence[str]


class Surroundings(Struct, frozen=True, kw_only=True):
    """What a run has around it: who hears of it, and the innermost flow run, if any."""

    reporter: Reporter
    flow_run_id: UUID | None = None
    process_id: UUID | None = None  # the outermost flow run: what an agent cancels
    flow_name: str | None = None
    started: StartedTasks | None = None
    origin: Origin = Origin()
    log_prints: bool = False
    results: Persisting = NOTHING_SAID


class Scope(Struct, eq=False, kw_only=True):
    """One try of a run, entered around the user's function. Its end waits for ``tasks``: a flow run's."""

    run: Run
    around: Surroundings
    parameters: Mapping[str, Any]
    tasks: StartedTasks | None = None
    task_name: str | None = None
    tags: Sequence[str] = ()
    _token: Token[Scope | None] | None = None

    def __enter__(self) -> Self:
        self._token = _current.set(self)
        return self

    def __exit__(self, raised: type[BaseException] | None, *_: object) -> None:
        assert self._token is not None, "left without having been entered"
        try:
            if self.tasks is not None and self.tasks.began:
                self.tasks.finish(raised)
        finally:
            _current.reset(self._token)

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(self, raised: type[BaseException] | None, *_: object) -> None:
        assert self._token is not None, "left without having been entered"
        try:
            if self.tasks is not None and self.tasks.began:
                await self.tasks.finish_async(raised)
        finally:
            _current.reset(self._token)

    def info(self) -> RunInfo:
        """Describe the run to its own code."""
        return RunInfo(
            id=self.run.id,
            name=self.run.name,
            flow_run_id=self.around.flow_run_id,
            flow_name=self.around.flow_name,
            task_name=self.task_name,
            parameters=dict(self.parameters),
            attempt=self.around.origin.attempt,
            try_number=self.run.tries,
            deployment_name=self.around.origin.deployment_name,
            tags=self.tags,
        )


def aside(
    run: Run,
    around: Surroundings,
    parameters: Mapping[str, Any],
    *,
    task_name: str | None = None,
    tags: Sequence[str] = (),
) -> Scope:
    """Make the surroundings of the user's functions that are called about a run, such as hooks.

    They know the run, and log as it. A task that they call is plain Python: the run may have ended, and a
    server takes no more tasks of it.
    """
    from reeve.sdk.engine.nowhere import Nowhere  # few runs have such functions

    inside = replace(around, reporter=Nowhere(), started=None)
    return Scope(run=run, around=inside, parameters=parameters, task_name=task_name, tags=tags)


_current: ContextVar[Scope | None] = ContextVar("reeve_scope", default=None)


def current_scope() -> Scope | None:
    """Return the surroundings of the caller, or None outside of any run."""
    return _current.get()


def current_run() -> RunInfo:
    """Return the innermost run that is being executed here; NoActiveRunError outside of any run."""
    scope = _current.get()
    if scope is None:
        raise NoActiveRunError
    return scope.info()
