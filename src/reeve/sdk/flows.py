"""``@flow``: a function whose calls are runs, with validated parameters, retries, a timeout and a state."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial, update_wrapper
from typing import Any, Generic, ParamSpec, TypeVar, overload

from reeve.core.runs import FlowRunPolicy
from reeve.sdk import options
from reeve.sdk.context import Origin, Scope, Surroundings
from reeve.sdk.engine import sync
from reeve.sdk.engine.run import FlowRunSpec, Kind, Opened, Reporter, Run, Subject
from reeve.sdk.engine.script import Script, execute, run_flow
from reeve.sdk.futures import TaskFuture
from reeve.sdk.local import surroundings
from reeve.sdk.logging import FLOW_LOGGER, run_logger
from reeve.sdk.parameters import Parameters
from reeve.sdk.results import parts, resolved
from reeve.sdk.started import StartedTasks
from reeve.sdk.states import State
from reeve.sdk.termination import termination

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


class Flow(Generic[P, R]):
    """A function as a flow; see ``flow`` for the options."""

    def __init__(
        self,
        fn: Callable[P, R],
        *,
        name: str | None = None,
        version: str | None = None,
        description: str | None = None,
        retries: int = 0,
        retry_delay_seconds: float = 0,
        timeout_seconds: float | None = None,
        max_workers: int | None = None,
        log_prints: bool | None = None,
    ) -> None:
        update_wrapper(self, fn)
        self.fn = fn
        self.name = options.checked_name("Flow", fn.__name__.replace("_", "-") if name is None else name)
        owner = f"Flow '{self.name}'"
        self.key = f"{fn.__module__}.{fn.__qualname__}"
        self.version = version
        self.description = description or inspect.getdoc(fn)
        self.policy = FlowRunPolicy(
            retries=options.checked_retries(owner, retries),
            retry_delay=options.whole_seconds(owner, retry_delay_seconds),
        )
        self.timeout_seconds = options.checked_timeout(owner, timeout_seconds)
        self.max_workers = options.checked_workers(owner, max_workers)
        self.log_prints = options.checked_log_prints(log_prints)
        self.is_async = inspect.iscoroutinefunction(fn)

    @cached_property
    def parameters(self) -> Parameters:
        """The parameters by the function's signature and type hints."""
        return Parameters(f"Flow '{self.name}'", self.fn)

    def parameter_schema(self) -> dict[str, Any]:
        """Return the parameters as JSON Schema, in the shape of 2.20's ``parameter_openapi_schema``."""
        from reeve.sdk.schema import parameter_schema

        return parameter_schema(self.parameters)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run the flow here and return its value, or raise what it raised.

        Outside of any run this is plain Python: nobody hears of the run. Inside a flow it is a subflow, which
        a server shows as a run of its own. Raises ParameterError for parameters that do not fit.
        """
        call = self._call(args, kwargs)
        if self.is_async:
            return _value_on_loop(call)  # type: ignore[return-value]  # R is a coroutine then
        return sync.perform(run_flow(call), call.outside.reporter).result()  # type: ignore[no-any-return]

    @overload
    def run(  # type: ignore[overload-overlap]  # any T may be a coroutine; the first that fits is meant
        self: Flow[P, Coroutine[Any, Any, T]], *args: P.args, **kwargs: P.kwargs
    ) -> Coroutine[Any, Any, State[T]]: ...
    @overload
    def run(self: Flow[P, T], *args: P.args, **kwargs: P.kwargs) -> State[T]: ...
    def run(self: Flow[P, Any], *args: P.args, **kwargs: P.kwargs) -> Any:
        """Run the flow here and return its final state; what it raises is in there."""
        call = self._call(args, kwargs)
        if self.is_async:
            return _perform_on_loop(run_flow(call), call.outside.reporter)
        return sync.perform(run_flow(call), call.outside.reporter)

    def _call(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> FlowCall:
        outside = surroundings(of_flow=True)
        return FlowCall(
            flow=self,
            bound=self.parameters.bind(args, kwargs),
            outside=outside,
            position=outside.started.position(self.key) if outside.started else "0",
        )


@dataclass(slots=True, kw_only=True)
class FlowCall:
    """One call of a flow, on its way to being a flow run; ``outside`` is what it was called in."""

    flow: Flow[Any, Any]
    bound: inspect.BoundArguments
    outside: Surroundings
    position: str = "0"

    @property
    def upstream(self) -> list[TaskFuture[Any]]:
        """The futures among the arguments."""
        return [one for one in parts([self.bound.args, self.bound.kwargs]) if isinstance(one, TaskFuture)]

    def spec(self) -> FlowRunSpec:
        """Say what is to be opened, once the arguments are known; ParameterError if they do not fit."""
        self.bound.arguments.update(resolved(self.bound.arguments))
        self.flow.parameters.validate(self.bound)
        return FlowRunSpec(
            flow_name=self.flow.name,
            version=self.flow.version,
            parameters=self.bound.arguments,
            policy=self.flow.policy,
            parent_id=self.outside.flow_run_id,
            key=self.flow.key,
            position=self.position,
        )

    def run(self, opened: Opened) -> Run:
        """Make the run."""
        flow, bound = self.flow, self.bound
        inside = replace(
            self.outside,
            flow_run_id=opened.id,
            flow_name=flow.name,
            log_prints=self.outside.log_prints if flow.log_prints is None else flow.log_prints,
        )
        return Run(
            kind=Kind.FLOW,
            id=opened.id,
            name=opened.name,
            body=lambda: flow.fn(*bound.args, **bound.kwargs),
            scope=lambda run: self._scope(run, inside),
            log=run_logger(FLOW_LOGGER, opened.name, opened.id, None),
            timeout=flow.timeout_seconds,
        )

    def _scope(self, run: Run, inside: Surroundings) -> Scope:
        """Make the surroundings of one try: each counts its tasks from 0, so that a server knows them."""
        started = StartedTasks(self.flow.max_workers)
        return Scope(
            run=run,
            around=replace(inside, started=started),
            parameters=self.bound.arguments,
            tags=inside.origin.tags,
        )


def run_deployed(
    flow: Flow[Any, Any],
    bound: inspect.BoundArguments,
    subject: Subject,
    reporter: Reporter,
    origin: Origin,
) -> State[Any]:
    """Take a flow run that exists already to its end, in the main thread of its own process.

    ``bound`` are its validated parameters. Raises RunStopped when the server takes the run away.
    """
    call = FlowCall(flow=flow, bound=bound, outside=Surroundings(reporter=reporter, origin=origin))
    script = execute(call.run(Opened(subject.id, subject.name)))
    if not flow.is_async:
        return sync.perform(script, reporter)
    import asyncio

    return asyncio.run(_perform_until_terminated(script, reporter))


async def _perform_on_loop(script: Script[State[Any]], reporter: Reporter) -> State[Any]:
    from reeve.sdk.engine import aio

    return await aio.perform(script, reporter)


async def _perform_until_terminated(script: Script[State[Any]], reporter: Reporter) -> State[Any]:
    import asyncio

    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None, "a coroutine runs in a task"
    termination.cancel = partial(loop.call_soon_threadsafe, task.cancel)
    try:
        return await _perform_on_loop(script, reporter)
    finally:
        termination.cancel = None


async def _value_on_loop(call: FlowCall) -> Any:
    return (await _perform_on_loop(run_flow(call), call.outside.reporter)).result()


@overload
def flow(fn: Callable[P, R], /) -> Flow[P, R]: ...
@overload
def flow(
    *,
    name: str | None = None,
    version: str | None = None,
    description: str | None = None,
    retries: int = 0,
    retry_delay_seconds: float = 0,
    timeout_seconds: float | None = None,
    max_workers: int | None = None,
    log_prints: bool | None = None,
) -> Callable[[Callable[P, R]], Flow[P, R]]: ...
def flow(fn: Callable[..., Any] | None = None, /, **options: Any) -> Any:
    """Make a function a flow: ``@flow`` or ``@flow(retries=2, …)``.

    name
        What the flow is called; by default the function's name with dashes for underscores.
    version, description
        What a deployment shows; the description is the docstring by default.
    retries, retry_delay_seconds
        How often a failed run is tried again in the same process, and after how many seconds (whole ones:
        fractions are rounded up).
    timeout_seconds
        When a run is stopped, wherever it is; its state is ``TimedOut``.
    max_workers
        How many submitted tasks run at once on threads; by default 4 more than processors, at most 32.
    log_prints
        Whether ``print`` writes to the run's log.

    A flow can be called like the function it was made of, with or without a server, and be deployed.
    """
    return Flow(fn) if fn is not None else lambda function: Flow(function, **options)
