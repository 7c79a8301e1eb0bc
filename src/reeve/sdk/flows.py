"""``@flow``: a function whose calls are runs, with validated parameters, retries, a timeout and a state."""

from __future__ import annotations

import inspect
import logging
import os
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Concatenate, Generic, Literal, ParamSpec, Protocol, TypeVar, overload

from msgspec import Struct

from reeve.core.runs import FlowRunPolicy
from reeve.core.states import StateType
from reeve.sdk.binding import Bindable
from reeve.sdk.context import Origin, Scope, Surroundings, aside, current_run
from reeve.sdk.declared import Declared
from reeve.sdk.engine.run import FLOW_LOGGER, FlowRunSpec, Kind, Opened, Reporter, Run, Subject
from reeve.sdk.engine.script import Script, execute, run_flow
from reeve.sdk.engine.sync import perform
from reeve.sdk.formats import result_type
from reeve.sdk.futures import TaskFuture
from reeve.sdk.hooks import Given, Hooks, HookT, hooks_of
from reeve.sdk.local import surroundings
from reeve.sdk.naming import RunName, checked_placeholders, named, run_name
from reeve.sdk.options import (
    checked_log_prints,
    checked_name,
    checked_retries,
    checked_timeout,
    whole_seconds,
)
from reeve.sdk.parameters import Parameters, bound_to_nothing
from reeve.sdk.persistence import Keeper
from reeve.sdk.persisting import NOTHING_SAID, Persisting
from reeve.sdk.results import parts, resolved
from reeve.sdk.retries import UNCONDITIONAL, RetryIf, RetryOn, checked_condition, condition
from reeve.sdk.runners import TaskRunner, ThreadTaskRunner
from reeve.sdk.started import StartedTasks
from reeve.sdk.states import State
from reeve.sdk.task_runners import checked_task_runner
from reeve.sdk.termination import termination

if TYPE_CHECKING:
    from reeve.wire.responses import DeploymentResponse

P = ParamSpec("P")
Q = ParamSpec("Q")
R = TypeVar("R")
T = TypeVar("T")
C = TypeVar("C")


@dataclass(frozen=True, kw_only=True)
class FlowOptions(Declared):
    """The options of ``flow``."""

    version: str | None = None
    description: str | None = None
    flow_run_name: RunName | None = None
    retry_delay_seconds: float = 0
    max_workers: int | None = None
    task_runner: TaskRunner | str | None = None
    on_cancellation: Given = None
    on_crashed: Given = None
    on_running: Given = None


class Flow(Bindable, Generic[P, R]):
    """A function as a flow; see ``flow`` for the options."""

    derived = ("parameters",)

    # What is not given is the class's, since each run declares its flows anew.
    version: str | None = None
    policy = FlowRunPolicy()
    retry_condition = UNCONDITIONAL
    flow_run_name: RunName | None = None
    timeout_seconds: float | None = None
    task_runner: TaskRunner = ThreadTaskRunner()
    log_prints: bool | None = None
    results = NOTHING_SAID
    _described_as: str | None = None

    def __init__(self, fn: Callable[P, R], **options: Any) -> None:
        self.hold(fn)
        name = options.get("name")
        usual_name = self.fn.__name__.replace("_", "-")
        self.name = checked_name("Flow", usual_name if name is None else name)
        self.key = f"{self.fn.__module__}.{self.fn.__qualname__}"
        self.hooks: Hooks = {}
        if options or vars(self.fn):  # what the function has under these names is not meant
            self._take(FlowOptions(**options))

    def _take(self, given: FlowOptions) -> None:
        owner = self.owner
        checked_condition(owner, given.retries, given.retry_on, given.retry_if)
        if given.flow_run_name is not None:
            known = inspect.signature(self.fn).parameters
            checked_placeholders(owner, "flow_run_name", given.flow_run_name, known)
        self.version = given.version
        self.policy = FlowRunPolicy(
            retries=checked_retries(owner, given.retries),
            retry_delay=whole_seconds(owner, given.retry_delay_seconds),
        )
        self.retry_condition = condition(given.retry_on, given.retry_if)
        self.flow_run_name = given.flow_run_name
        self.timeout_seconds = checked_timeout(owner, given.timeout_seconds)
        self.task_runner = checked_task_runner(owner, given.task_runner, given.max_workers)
        self.log_prints = checked_log_prints(given.log_prints)
        self.results = given.persisting(owner)
        self.hooks = _hooks(owner, given)
        self._described_as = given.description

    @overload
    def __get__(  # a class method, as mypy sees it
        self: Flow[Concatenate[type[C], Q], T], instance: None, owner: type[C]
    ) -> Flow[Q, T]: ...
    @overload
    def __get__(self, instance: None, owner: type) -> Flow[P, R]: ...
    @overload
    def __get__(
        self: Flow[Concatenate[Any, Q], T], instance: object, owner: type | None = None
    ) -> Flow[Q, T]: ...
    def __get__(self, instance: object, owner: type | None = None) -> Flow[Any, Any]:
        return self.bound_to(instance, owner)

    @property
    def owner(self) -> str:
        """What messages about the flow begin with."""
        return f"Flow '{self.name}'"

    @cached_property
    def description(self) -> str | None:
        """What a deployment shows: as it was given, or the function's docstring."""
        return self._described_as or inspect.getdoc(self.fn)

    @cached_property
    def parameters(self) -> Parameters:
        """The parameters by the function's signature and type hints."""
        return Parameters(self.owner, self.fn)

    def on_completion(self, hook: HookT) -> HookT:
        """Add a hook for runs that are Completed: ``@my_flow.on_completion``."""
        return self._add(StateType.COMPLETED, hook)

    def on_failure(self, hook: HookT) -> HookT:
        """Add a hook for runs that have Failed, with no retry left."""
        return self._add(StateType.FAILED, hook)

    def on_cancellation(self, hook: HookT) -> HookT:
        """Add a hook for runs that are being cancelled; it has the rest of the grace period."""
        return self._add(StateType.CANCELLED, hook)

    def on_crashed(self, hook: HookT) -> HookT:
        """Add a hook for runs that have Crashed and can still tell."""
        return self._add(StateType.CRASHED, hook)

    def on_running(self, hook: HookT) -> HookT:
        """Add a hook for each start of a try."""
        return self._add(StateType.RUNNING, hook)

    def _add(self, state: StateType, hook: HookT) -> HookT:
        self.hooks.setdefault(state, []).append(hook)
        return hook

    def bind(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> inspect.BoundArguments:
        """Assign arguments to parameters; ParameterError names what is missing or unknown."""
        nothing = None if args or kwargs else bound_to_nothing(self.fn)
        return self.parameters.bind(args, kwargs) if nothing is None else nothing

    def run_name(self, bound: inspect.BoundArguments) -> str | None:
        """Return what ``flow_run_name`` makes of the parameters; None for the usual name."""
        if self.flow_run_name is None:
            return None
        parameters = {**self.receiver, **named(bound)}
        return run_name(self.owner, self.flow_run_name, parameters, logging.getLogger(FLOW_LOGGER))

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
        return perform(run_flow(call), call.outside.reporter).result()  # type: ignore[no-any-return]

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
        return perform(run_flow(call), call.outside.reporter)

    def _call(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> FlowCall:
        outside = surroundings(of_flow=True)
        return FlowCall(
            flow=self,
            bound=self.bind(args, kwargs),
            outside=outside,
            position=outside.started.position(self.key) if outside.started else "0",
        )

    def deploy(self, name: str, **keys: Any) -> DeploymentResponse:
        """Make the deployment ``name`` of this flow what ``keys`` say; see ``reeve.sdk.deployed.deploy``."""
        from reeve.sdk.deployed import deploy

        return deploy(self, name, keys)

    def serve(self, name: str, *, limit: int | None = None, **keys: Any) -> None:
        """Deploy this flow and execute its runs from here until Ctrl-C; see ``reeve.sdk.serve.serve``."""
        from reeve.sdk.serve import serve

        serve(self, name, limit, keys)


class FlowCall(Struct, eq=False, kw_only=True):
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
        if self.bound.arguments:
            self.flow.parameters.validate(self.bound)
        return FlowRunSpec(
            flow_name=self.flow.name,
            version=self.flow.version,
            parameters=self.bound.arguments,
            policy=self.flow.policy,
            parent_id=self.outside.flow_run_id,
            key=self.flow.key,
            position=self.position,
            run_name=self.flow.run_name(self.bound),
        )

    def run(self, opened: Opened) -> Run:
        """Make the run."""
        flow: Flow[Any, Any] = self.flow
        bound = self.bound
        condition, results = flow.retry_condition, self._results()
        return Run(
            kind=_FLOW,
            id=opened.id,
            name=opened.name,
            body=partial(flow.fn, *bound.args, **bound.kwargs) if bound.arguments else flow.fn,
            scope=self._scope,
            aside=self._aside,
            timeout=flow.timeout_seconds,
            asks_retry=None if condition is UNCONDITIONAL else condition,
            hooks=flow.hooks,
            tell=self._tell,
            process_id=self.outside.process_id or opened.id,
            keeper=self._keeper(results) if results.persist or opened.done is not None else None,
        )

    def _results(self) -> Persisting:
        own, around = self.flow.results, self.outside.results
        return around if own is NOTHING_SAID else own.inside(around)

    def _keeper(self, results: Persisting) -> Keeper:
        hint = partial(result_type, self.flow.fn)
        return Keeper(self.flow.owner, results, hint, lambda: {**self.flow.receiver, **named(self.bound)})

    def _scope(self, run: Run) -> Scope:
        """Make the surroundings of one try: each counts its tasks from 0, so that a server knows them."""
        flow: Flow[Any, Any] = self.flow
        outside = self.outside
        tasks = StartedTasks(flow.task_runner)
        inside = Surroundings(
            reporter=outside.reporter,
            flow_run_id=run.id,
            process_id=run.process_id,
            flow_name=flow.name,
            started=tasks,
            origin=outside.origin,
            log_prints=outside.log_prints if flow.log_prints is None else flow.log_prints,
            results=self._results(),
        )
        return Scope(
            run=run, around=inside, parameters=self.bound.arguments, tasks=tasks, tags=outside.origin.tags
        )

    def _aside(self, run: Run) -> Scope:
        return aside(run, self._scope(run).around, self.bound.arguments, tags=self.outside.origin.tags)

    def _tell(self, hook: Callable[..., Any], state: State[Any]) -> Any:
        return hook(self.flow, current_run(), state)


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
        return perform(script, reporter)
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


_FLOW = Kind.FLOW  # looked up here once for all runs


def _hooks(owner: str, given: FlowOptions) -> Hooks:
    by_option = {
        "on_completion": (StateType.COMPLETED, given.on_completion),
        "on_failure": (StateType.FAILED, given.on_failure),
        "on_cancellation": (StateType.CANCELLED, given.on_cancellation),
        "on_crashed": (StateType.CRASHED, given.on_crashed),
        "on_running": (StateType.RUNNING, given.on_running),
    }
    return hooks_of(owner, by_option)


class _MakesFlow(Protocol):
    @overload
    def __call__(self, fn: classmethod[Any, P, R], /) -> Flow[P, R]: ...
    @overload
    def __call__(self, fn: Callable[P, R], /) -> Flow[P, R]: ...


@overload
def flow(fn: classmethod[Any, P, R], /) -> Flow[P, R]: ...
@overload
def flow(fn: Callable[P, R], /) -> Flow[P, R]: ...
@overload
def flow(
    *,
    name: str | None = None,
    version: str | None = None,
    description: str | None = None,
    flow_run_name: RunName | None = None,
    retries: int = 0,
    retry_delay_seconds: float = 0,
    retry_on: RetryOn | None = None,
    retry_if: RetryIf | None = None,
    timeout_seconds: float | None = None,
    max_workers: int | None = None,
    task_runner: TaskRunner | Literal["threads", "processes", "dask", "ray"] | None = None,
    log_prints: bool | None = None,
    on_completion: Given = None,
    on_failure: Given = None,
    on_cancellation: Given = None,
    on_crashed: Given = None,
    on_running: Given = None,
    persist_result: bool | None = None,
    result_storage: str | os.PathLike[str] | None = None,
    result_format: Literal["json", "pickle"] | None = None,
) -> _MakesFlow: ...
def flow(fn: Any = None, /, **options: Any) -> Any:
    """Make a function a flow: ``@flow`` or ``@flow(retries=2, …)``.

    name
        What the flow is called; by default the function's name with dashes for underscores.
    version, description
        What a deployment shows; the description is the docstring by default.
    flow_run_name
        What its runs are called: a text with placeholders for parameters (``"sales of {day:%d %B}"``), or a
        function without arguments. One that raises is told in the log, and the usual name stays.
    retries, retry_delay_seconds
        How often a failed run is tried again in the same process, and after how many seconds (whole ones:
        fractions are rounded up).
    retry_on, retry_if
        Which failures are tried again: those with an exception of this class (or of one in a tuple), or those
        of whose State a function says True. Both are asked if both are given; without them, all are. The
        function is asked of Completed states as well: a value it does not accept makes the try Failed, and
        the run too when there is no retry left.
    timeout_seconds
        When a run is stopped, wherever it is; its state is ``TimedOut``.
    max_workers
        How many submitted tasks run at once; by default what suits the task runner, for threads 4 more than
        processors and at most 32.
    task_runner
        Where submitted tasks are executed: on ``"threads"`` (the default), which suits tasks that wait; in
        ``"processes"``, for tasks that compute; or by ``"dask"`` or ``"ray"``. Or an object that says more:
        ``ThreadTaskRunner``, ``ProcessTaskRunner``, ``DaskTaskRunner``, ``RayTaskRunner``.
    log_prints
        Whether ``print`` writes to the run's log.
    on_running, on_completion, on_failure, on_crashed, on_cancellation
        Functions, or one, that are called with the flow, the run (a RunInfo) and its state: when a try starts
        (Running), and when a run has ended so. What a hook raises is logged and changes nothing.
        ``on_cancellation`` is called when the process is told to end because its run is to be cancelled,
        within the grace period that its agent leaves it. A process that is killed (SIGKILL) calls none.

    persist_result, result_storage, result_format
        Whether the value of a run is written down where it outlives the process; a server is told where,
        never what. All of these hold for the tasks and flows inside too, unless they say otherwise. The
        storage is a folder, or a URL that fsspec knows (``pip install 'reeve[remote]'``); by default
        ``REEVE_RESULTS``. "json" (the default) writes what comes back as it was: JSON's own values, and
        whatever the return annotation says: dataclasses, dates, pydantic models, … "pickle" takes nearly
        everything, and runs code as it is read. A value that does not fit is told in the log, and goes on in
        the process. A task that has a result is not executed again by a later try or attempt of its flow run.

    A flow can be called like the function it was made of, with or without a server, and be deployed. It can
    be a method; put it above ``@classmethod`` or ``@staticmethod``, which works with every Python.
    """
    return Flow(fn) if fn is not None else lambda function: Flow(function, **options)
