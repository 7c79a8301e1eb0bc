"""``@task``: a function whose calls are runs of their own, with retries, a timeout and a state."""

from __future__ import annotations

import datetime as dt
import inspect
import logging
import os
from collections.abc import Callable, Coroutine, Iterable, Mapping
from contextvars import copy_context
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, Concatenate, Generic, Literal, ParamSpec, Protocol, TypeVar, overload
from uuid import UUID

from msgspec.structs import replace

from reeve.core.runs import TaskRunPolicy
from reeve.core.states import StateType
from reeve.sdk.binding import Bindable
from reeve.sdk.caching import (
    CacheContext,
    CacheKeyFn,
    Caching,
    Shelf,
    checked_key,
    expiration,
    key_function,
)
from reeve.sdk.context import NoActiveRunError, Scope, Surroundings, aside, current_run
from reeve.sdk.declared import Declared
from reeve.sdk.engine import sync
from reeve.sdk.engine.outcomes import Outcome
from reeve.sdk.engine.run import TASK_LOGGER, Kind, Opened, Run, TaskRunSpec
from reeve.sdk.engine.script import run_task
from reeve.sdk.formats import result_type
from reeve.sdk.futures import (
    TaskFuture,
    TaskFutures,
    UpstreamFailedError,
    in_event_loop,
)
from reeve.sdk.hooks import Given, HookT, hooks_of
from reeve.sdk.local import surroundings
from reeve.sdk.mapping import rows
from reeve.sdk.naming import RunName, checked_placeholders, named, run_name
from reeve.sdk.options import (
    checked_log_prints,
    checked_name,
    checked_retries,
    checked_timeout,
)
from reeve.sdk.persistence import Keeper
from reeve.sdk.results import parts, resolved
from reeve.sdk.retries import (
    Delay,
    RetryCondition,
    RetryIf,
    RetryOn,
    checked_condition,
    checked_jitter,
    task_delays,
)
from reeve.sdk.runners import Workers
from reeve.sdk.started import StartedTasks
from reeve.sdk.states import Failed, State

P = ParamSpec("P")
Q = ParamSpec("Q")
R = TypeVar("R")
T = TypeVar("T")
C = TypeVar("C")


@dataclass(frozen=True, kw_only=True)
class TaskOptions(Declared):
    """The options of ``task``."""

    task_run_name: RunName | None = None
    retry_delay_seconds: Delay = 0
    retry_jitter_factor: float | None = None
    retry_condition_fn: Callable[[Any, Any, State[Any]], bool] | None = None
    tags: Iterable[str] = ()
    cache_key_fn: CacheKeyFn | None = None
    cache_by: CacheKeyFn | str | None = None
    cache_expiration: float | dt.timedelta | None = None
    refresh_cache: bool = False


class Task(Bindable, Generic[P, R]):
    """A function as a task; see ``task`` for the options."""

    derived = ("signature",)

    def __init__(self, fn: Callable[P, R], **options: Any) -> None:
        given = TaskOptions(**options)
        self.hold(fn)
        self.name = checked_name("Task", self.fn.__name__ if given.name is None else given.name)
        owner = self.owner
        self.key = f"{self.fn.__module__}.{self.fn.__qualname__}"
        self.timeout_seconds = checked_timeout(owner, given.timeout_seconds)
        self.tags = tuple(sorted(set(given.tags)))
        self.log_prints = checked_log_prints(given.log_prints)
        self.policy = TaskRunPolicy(
            retries=checked_retries(owner, given.retries),
            retry_delay=task_delays(owner, given.retry_delay_seconds, given.retries),
            retry_jitter_factor=checked_jitter(owner, given.retry_jitter_factor),
        )
        checked_condition(owner, given.retries, given.retry_on, given.retry_if)
        self.retry_condition = RetryCondition(
            given.retry_on, given.retry_if, _condition_of_2_20(self, given.retry_condition_fn)
        )
        self.task_run_name = given.task_run_name
        checked_placeholders(owner, "task_run_name", given.task_run_name, self.signature.parameters)
        self.hooks = hooks_of(
            owner,
            {
                "on_completion": (StateType.COMPLETED, given.on_completion),
                "on_failure": (StateType.FAILED, given.on_failure),
            },
        )
        self.cache_key = key_function(owner, given.cache_key_fn, given.cache_by)
        checked_placeholders(owner, "cache_by", given.cache_by, self.signature.parameters)
        self.cache_expiration = expiration(owner, given.cache_expiration)
        self.refresh_cache = given.refresh_cache
        self.results = given.persisting(owner, cached=self.cache_key is not None)

    @overload
    def __get__(  # a class method, as mypy sees it
        self: Task[Concatenate[type[C], Q], T], instance: None, owner: type[C]
    ) -> Task[Q, T]: ...
    @overload
    def __get__(self, instance: None, owner: type) -> Task[P, R]: ...
    @overload
    def __get__(
        self: Task[Concatenate[Any, Q], T], instance: object, owner: type | None = None
    ) -> Task[Q, T]: ...
    def __get__(self, instance: object, owner: type | None = None) -> Task[Any, Any]:
        return self.bound_to(instance, owner)

    @property
    def owner(self) -> str:
        """What messages about the task begin with."""
        return f"Task '{self.name}'"

    @cached_property
    def signature(self) -> inspect.Signature:
        """The function's signature."""
        return inspect.signature(self.fn)

    def on_completion(self, hook: HookT) -> HookT:
        """Add a hook for runs that are Completed: ``@my_task.on_completion``."""
        self.hooks.setdefault(StateType.COMPLETED, []).append(hook)
        return hook

    def on_failure(self, hook: HookT) -> HookT:
        """Add a hook for runs that have Failed, with no retry left."""
        self.hooks.setdefault(StateType.FAILED, []).append(hook)
        return hook

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run the task here and return its value, or raise what it raised.

        Futures among the arguments become their results.
        """
        call = self._call(args, kwargs)
        if self.is_async:
            return _value_on_loop(call)  # type: ignore[return-value]  # R is a coroutine then
        return _perform(call).result()  # type: ignore[no-any-return]

    @overload
    def run(  # type: ignore[overload-overlap]  # any T may be a coroutine; the first that fits is meant
        self: Task[P, Coroutine[Any, Any, T]], *args: P.args, **kwargs: P.kwargs
    ) -> Coroutine[Any, Any, State[T]]: ...
    @overload
    def run(self: Task[P, T], *args: P.args, **kwargs: P.kwargs) -> State[T]: ...
    def run(self: Task[P, Any], *args: P.args, **kwargs: P.kwargs) -> Any:
        """Run the task here and return its final state; what it raises is in there."""
        call = self._call(args, kwargs)
        return _perform_on_loop(call) if self.is_async else _perform(call)

    @overload
    def submit(
        self: Task[P, Coroutine[Any, Any, T]], *args: Any, wait_for: Iterable[Any] = (), **kwargs: Any
    ) -> TaskFuture[T]: ...
    @overload
    def submit(
        self: Task[P, T], *args: Any, wait_for: Iterable[Any] = (), **kwargs: Any
    ) -> TaskFuture[T]: ...
    def submit(
        self: Task[P, Any], *args: Any, wait_for: Iterable[Any] = (), **kwargs: Any
    ) -> TaskFuture[Any]:
        """Run the task beside the flow and return its future at once.

        It runs where the flow's task runner has it run: on a thread, unless it names another. With threads,
        an async task that is submitted in an event loop runs on that loop. Futures may be
        given as arguments, or to ``wait_for``: the task starts when they have ended.
        Raises NoActiveRunError outside of a flow.
        """
        call = self._call(args, kwargs, wait_for)
        started = call.around.started
        if started is None:
            message = (
                f"Task '{self.name}' was submitted outside of a flow. Call it directly, or inside a flow."
            )
            raise NoActiveRunError(message)
        call.workers = started.workers
        if call.workers is None and self.is_async and in_event_loop():
            return _submit_to_loop(call, started)
        context = copy_context()
        future = TaskFuture[Any](call.name, lambda: context.run(_perform, call))
        started.on_thread(future)
        return future

    @overload
    def map(
        self: Task[P, Coroutine[Any, Any, T]], *args: Any, wait_for: Iterable[Any] = (), **kwargs: Any
    ) -> TaskFutures[T]: ...
    @overload
    def map(self: Task[P, T], *args: Any, wait_for: Iterable[Any] = (), **kwargs: Any) -> TaskFutures[T]: ...
    def map(self: Task[P, Any], *args: Any, wait_for: Iterable[Any] = (), **kwargs: Any) -> TaskFutures[Any]:
        """Submit the task once for each element of the iterables; return the futures in that order.

        Iterables must be of one length. Texts, mappings, what is no iterable and what is wrapped in
        ``unmapped(…)`` go to every call as they are.
        """
        waits_for = tuple(wait_for)
        calls = rows(self.name, args, kwargs)
        return TaskFutures(self.submit(*row, wait_for=waits_for, **named) for row, named in calls)

    def _call(
        self, args: tuple[Any, ...], kwargs: Mapping[str, Any], wait_for: Iterable[Any] = ()
    ) -> _TaskCall:
        around = surroundings()
        return _TaskCall(
            task=self,
            bound=self.signature.bind(*args, **kwargs),
            waits_for=tuple(wait_for),
            around=around,
            position=around.started.position(self.key) if around.started else "0",
        )


@dataclass(slots=True, kw_only=True)
class _TaskCall:
    """One call of a task, on its way to being a task run."""

    task: Task[Any, Any]
    bound: inspect.BoundArguments
    waits_for: tuple[Any, ...]
    around: Surroundings
    position: str
    workers: Workers | None = None

    @property
    def name(self) -> str:
        return f"{self.task.name}-{self.position}"

    @property
    def upstream(self) -> list[TaskFuture[Any]]:
        needed = parts([self.bound.args, self.bound.kwargs, self.waits_for])
        return [one for one in needed if isinstance(one, TaskFuture)]

    def spec(self) -> TaskRunSpec:
        return TaskRunSpec(
            name=self.task.name,
            key=self.task.key,
            position=self.position,
            flow_run_id=self.around.flow_run_id,
            policy=self.task.policy,
            tags=self.task.tags,
            inputs=self._inputs(),
            run_name=self._run_name(),
            shelf=Shelf(self._keeper().storage) if self.task.cache_key else None,
        )

    def obstacle(self) -> State[Any] | None:
        needed = parts([self.bound.args, self.bound.kwargs, self.waits_for], tolerated=False)
        for future in needed:
            if isinstance(future, State):
                continue
            state = future.state
            if state is not None and not state.is_completed:
                message = f"Not started: it needs task run '{future.name}', which ended as {state}."
                return Failed(message, error=UpstreamFailedError(message))
        return None

    def run(self, opened: Opened) -> Run:
        task, fn, bound = self.task, self.task.fn, self.bound
        return Run(
            kind=Kind.TASK,
            id=opened.id,
            name=opened.name,
            body=lambda: fn(*resolved(bound.args), **resolved(bound.kwargs)),
            elsewhere=None if self.workers is None else partial(self._elsewhere, self.workers),
            scope=self._scope,
            aside=self._aside,
            timeout=task.timeout_seconds,
            asks_retry=task.retry_condition if task.retry_condition.is_given else None,
            hooks=task.hooks,
            tell=lambda hook, state: hook(task, current_run(), state),
            process_id=self.around.process_id,
            flow_run_id=self.around.flow_run_id,
            keeper=self._keeper(),
            caching=self._caching() if task.cache_key else None,
        )

    def _elsewhere(self, workers: Workers, run: Run) -> Outcome:
        from reeve.sdk.workers.sending import send  # few flows have workers

        around = self._scope(run).around
        return send(workers, self.task, run, resolved(self.bound.args), resolved(self.bound.kwargs), around)

    def _scope(self, run: Run) -> Scope:
        log_prints = self.task.log_prints
        around = self.around if log_prints is None else replace(self.around, log_prints=log_prints)
        return Scope(
            run=run,
            around=around,
            parameters=self.bound.arguments,
            task_name=self.task.name,
            tags=self.task.tags,
        )

    def _keeper(self) -> Keeper:
        task = self.task
        wanted = task.results.inside(self.around.results)
        return Keeper(task.owner, wanted, partial(result_type, task.fn), self._parameters)

    def _caching(self) -> Caching:
        task = self.task

        def key() -> str | None:
            assert task.cache_key is not None, "asked of cached tasks alone"
            return checked_key(task.cache_key(CacheContext(task, current_run()), self._parameters()))

        return Caching(key=key, good_for=task.cache_expiration, refresh=task.refresh_cache)

    def _parameters(self) -> dict[str, Any]:
        return {**self.task.receiver, **resolved(named(self.bound))}

    def _aside(self, run: Run) -> Scope:
        return aside(run, self.around, self.bound.arguments, task_name=self.task.name, tags=self.task.tags)

    def _run_name(self) -> str | None:
        """Return the name the task gives its run; an obstacle leaves nothing to name it after."""
        if self.task.task_run_name is None or self.obstacle() is not None:
            return None
        log = logging.getLogger(TASK_LOGGER)
        return run_name(self.task.owner, self.task.task_run_name, self._parameters(), log)

    def _inputs(self) -> dict[str, list[UUID]]:
        given = {**self.bound.arguments, "wait_for": self.waits_for}  # the name 2.20 has for it
        ids = {name: _task_run_ids(value) for name, value in given.items()}
        return {name: found for name, found in ids.items() if found}


def _condition_of_2_20(
    task: Task[Any, Any], condition: Callable[[Any, Any, State[Any]], bool] | None
) -> RetryIf | None:
    return None if condition is None else lambda state: condition(task, current_run(), state)


def _task_run_ids(value: Any) -> list[UUID]:
    states = (part if isinstance(part, State) else part.state for part in parts(value))
    return [id_ for state in states if state is not None and (id_ := state.details.task_run_id)]


def _perform(call: _TaskCall) -> State[Any]:
    """Take a task run to its end in this thread, an async one on a loop of its own."""
    if call.task.is_async and call.workers is None:
        import asyncio

        return asyncio.run(_perform_on_loop(call))
    return sync.perform(run_task(call), call.around.reporter)


async def _perform_on_loop(call: _TaskCall) -> State[Any]:
    from reeve.sdk.engine import aio

    return await aio.perform(run_task(call), call.around.reporter)


async def _value_on_loop(call: _TaskCall) -> Any:
    return (await _perform_on_loop(call)).result()


def _submit_to_loop(call: _TaskCall, started: StartedTasks) -> TaskFuture[Any]:
    import asyncio

    future = TaskFuture[Any](call.name)

    async def conclude() -> None:
        try:
            future.conclude(await _perform_on_loop(call))
        except Exception as error:  # noqa: BLE001  # it belongs to whoever waits for the future
            future.conclude(Failed(str(error), error=error))
        except BaseException as stop:  # noqa: BLE001  # as above
            future.interrupt(stop)

    started.on_loop(future, asyncio.get_running_loop().create_task(conclude()))
    return future


class _MakesTask(Protocol):
    @overload
    def __call__(self, fn: classmethod[Any, P, R], /) -> Task[P, R]: ...
    @overload
    def __call__(self, fn: Callable[P, R], /) -> Task[P, R]: ...


@overload
def task(fn: classmethod[Any, P, R], /) -> Task[P, R]: ...
@overload
def task(fn: Callable[P, R], /) -> Task[P, R]: ...
@overload
def task(
    *,
    name: str | None = None,
    task_run_name: RunName | None = None,
    retries: int = 0,
    retry_delay_seconds: Delay = 0,
    retry_jitter_factor: float | None = None,
    retry_on: RetryOn | None = None,
    retry_if: RetryIf | None = None,
    retry_condition_fn: Callable[[Any, Any, State[Any]], bool] | None = None,
    timeout_seconds: float | None = None,
    tags: Iterable[str] = (),
    log_prints: bool | None = None,
    on_completion: Given = None,
    on_failure: Given = None,
    persist_result: bool | None = None,
    result_storage: str | os.PathLike[str] | None = None,
    result_format: Literal["json", "pickle"] | None = None,
    cache_by: CacheKeyFn | str | None = None,
    cache_key_fn: CacheKeyFn | None = None,
    cache_expiration: float | dt.timedelta | None = None,
    refresh_cache: bool = False,
) -> _MakesTask: ...
def task(fn: Any = None, /, **options: Any) -> Any:
    """Make a function a task: ``@task`` or ``@task(retries=3, …)``.

    name
        What the task is called; the function's name by default.
    task_run_name
        What its runs are called: a text with placeholders for parameters (``"page {number}"``), or a function
        without arguments. One that raises is told in the log, and the usual name stays.
    retries, retry_delay_seconds, retry_jitter_factor
        How often a failed call is tried again, and after how many seconds: one number, a list with one for
        each try (the last one repeated), or a function that makes such a list from the number of retries
        (``exponential_backoff(2)``). Whole seconds: fractions are rounded up. A jitter factor of 0.2 spreads
        each delay evenly over ±20 %.
    retry_on, retry_if
        Which failures are tried again: those with an exception of this class (or of one in a tuple), or those
        of whose State a function says True. Both are asked if both are given; without them, all are. The
        function is asked of Completed states as well: a value it does not accept makes the try Failed, and
        the run too when there is no retry left.
    retry_condition_fn
        The same in 2.20's spelling: called with the task, the run and the Failed state.
    timeout_seconds
        When a call is stopped and its state is ``TimedOut``. In a thread, code inside a long call into C is
        stopped only after that call.
    tags
        Labels, by which a server can limit how many such tasks run at once.
    log_prints
        Whether ``print`` writes to the run's log; by default as in the flow around.
    on_completion, on_failure
        Functions, or one, that are called with the task, the run (a RunInfo) and its state when a run has
        ended so. What a hook raises is logged and changes nothing.

    persist_result, result_storage, result_format
        Whether, where and how the value of a run is written down; see ``flow``, whose choice holds here
        unless this one says otherwise. A run that has a result is not executed again by a later try or
        attempt of the flow run, but read, if its parameters are the same.
    cache_by
        ``INPUTS``: a run with the same parameters and the same code takes the result of the earlier one. Or a
        text with placeholders for parameters (``"{region}-{day}"``): a run with the same text does. What is
        cached is persisted.
    cache_key_fn
        The same in 2.20's spelling: a function of a context (``task``, ``task_run``) and the parameters that
        returns the key, which all tasks share, or None for "not cached".
    cache_expiration, refresh_cache
        For how long a result is found (seconds or a timedelta; for ever by default); and whether to compute
        anew all the same, and keep that.

    A task can be called, submitted to a thread, or mapped over values; see the methods of ``Task``. It can be
    a method; put it above ``@classmethod`` or ``@staticmethod``, which works with every Python.
    """
    return Task(fn) if fn is not None else lambda function: Task(function, **options)
