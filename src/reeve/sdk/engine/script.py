"""The engine's logic, once: generators that yield effects. The shells, ``sync`` and ``aio``, perform them.

One run, from Running to its end:

    propose Running ──accepted──▶ call the user's function ──▶ propose its end ──accepted──▶ final
          ▲                                                         │
          └──────────────── sleep ◀── AwaitingRetry ◀──rejected─────┘

Whether a failed run is tried again is not decided here but by who is asked for the state: the server, or the
same rules in this process (``nowhere``).
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from functools import partial
from typing import Any, Protocol, TypeAlias, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from reeve import clock
from reeve.core.rules.shared import is_persisted
from reeve.core.states import CACHED, FINAL, StateDetails, StateType, propose
from reeve.sdk.engine.outcomes import Died, Outcome, Raised, Returned, TimedOut
from reeve.sdk.engine.reports import Look, OpenFlowRun, OpenTaskRun, Propose, Report
from reeve.sdk.engine.run import (
    Aborted,
    Accepted,
    Answer,
    Caching,
    FlowRunSpec,
    Kind,
    Opened,
    Run,
    Subject,
    TaskRunSpec,
    Wait,
)
from reeve.sdk.results import state_of
from reeve.sdk.states import (
    EndRun,
    Failed,
    RunAbortedError,
    RunFailedError,
    RunStopped,
    RunTimedOutError,
    State,
    Terminated,
    interrupted,
)
from reeve.sdk.tracebacks import from_user_code, of_user_code

T = TypeVar("T")

# A word of an enum, or a state that is always the same, is looked up here once for all runs.
_FLOW = Kind.FLOW
_RUNNING = StateType.RUNNING
_RUN = propose(_RUNNING)

PAUSE_SECONDS = 5.0  # how often a task of a paused flow asks whether it may run


class Awaited(Protocol):
    """Something that ends on its own: a future."""

    def settle(self) -> None:
        """Wait until it has ended, however."""

    async def settled(self) -> None:
        """Wait in an event loop until it has ended, however."""


# Effects: what a script wants done. The type in the comment is what is sent back.


class Sleep(Struct, frozen=True):
    """Wait for ``seconds`` → None; ``asks_again``: nobody knows how long it takes."""

    seconds: float
    asks_again: bool = False


class Settle(Struct, frozen=True):
    """Wait until all these have ended → None."""

    futures: Sequence[Awaited]


class Call(Struct, frozen=True):
    """Run the user's function once, within the run's timeout → Outcome."""

    run: Run


class Consult(Struct, frozen=True):
    """Call a function of the user's that is about the run, such as a hook → Returned or Raised."""

    run: Run
    function: Callable[[], Any]


class Save(Struct, frozen=True):
    """Write the run's value down → what its state says of it."""

    run: Run
    value: Any


class Load(Struct, frozen=True):
    """Read the value that is there already → Returned or Raised."""

    run: Run
    state: State[Any]


Effect: TypeAlias = Report | Sleep | Settle | Call | Consult | Save | Load
Script: TypeAlias = Generator[Effect, Any, T]


class FlowCall(Protocol):
    """One call of a flow inside this process."""

    @property
    def upstream(self) -> Sequence[Awaited]:
        """What must have ended before."""

    def spec(self) -> FlowRunSpec:
        """Say what is to be opened; asked once ``upstream`` has ended. Raises ParameterError."""

    def run(self, opened: Opened) -> Run:
        """Make the run."""


class TaskCall(Protocol):
    """One call of a task."""

    @property
    def upstream(self) -> Sequence[Awaited]:
        """What must have ended before."""

    def spec(self) -> TaskRunSpec:
        """Say what is to be opened; asked once ``upstream`` has ended."""

    def run(self, opened: Opened) -> Run:
        """Make the run."""

    def obstacle(self) -> State[Any] | None:
        """Return the state to end in without having started: something upstream has failed."""


def run_flow(call: FlowCall) -> Script[State[Any]]:
    """Wait for what the flow needs, open its run and take it to its end."""
    yield Settle(call.upstream)
    spec = call.spec()
    opened: Opened = yield OpenFlowRun(spec)
    if opened.done is not None:
        found = yield from _found(call.run(opened), State(opened.done))
        if found is not None:
            return found
        opened = yield OpenFlowRun(replace(spec, anew=True))
    return (yield from execute(call.run(opened)))


def run_task(call: TaskCall) -> Script[State[Any]]:
    """Wait for what the task needs, open its run and take it to its end."""
    yield Settle(call.upstream)
    opened = yield OpenTaskRun(call.spec())
    run, obstacle = call.run(opened), call.obstacle()
    if obstacle is None:
        return (yield from execute(run))
    state, _ = yield from ask(run, obstacle)
    if state.is_completed:  # by an earlier try of its flow, of what it was given then: that stays on record
        state = obstacle
    yield from _call_hooks(run, state)
    return state


def execute(run: Run) -> Script[State[Any]]:
    """Take a run from Running to a final state; RunStopped when the server takes it away."""
    try:
        if run.keeper is not None:
            run.keeper.begin()
        if run.caching is not None:
            yield from _find_key(run, run.caching)
        state = yield from _to_the_end(run)
    except BaseException as error:
        yield from _ended_from_outside(run, error)
        raise
    if run.hooks and (run.tries or state.name == CACHED):  # else an earlier attempt has called them
        yield from _call_hooks(run, state)
    return state


def _to_the_end(run: Run) -> Script[State[Any]]:
    state, delay = yield from _start(run)
    while (type_ := state.proposed.type) not in FINAL:
        if type_ is _RUNNING:
            run.tries += 1
            if run.hooks:
                yield from _call_hooks(run, state)
            outcome: Outcome = yield Call(run)
            ended = state_of(outcome.value) if isinstance(outcome, Returned) else _failed(run, outcome)
            if run.asks_retry is not None:
                ended = yield from _judged(run, run.asks_retry, ended)
            if run.keeper is not None and run.keeper.persists and ended.is_completed:
                ended = yield from _kept(run, ended)
            state, delay = yield from ask(run, ended)
        elif type_ is StateType.SCHEDULED:
            run.log.info("%s waits %g s for its next try.", run.kind.value, delay)
            yield Sleep(delay)
            state, delay = yield from _start(run)
        elif type_ is StateType.PAUSED and run.kind is Kind.TASK:
            yield Sleep(PAUSE_SECONDS, asks_again=True)
            state, delay = yield from _start(run)
        else:
            raise RunStopped(f"{run.kind.value} '{run.name}' is {state.name}: nothing more to do here.")
    return state


def _start(run: Run) -> Script[tuple[State[Any], float]]:
    """Ask for Running. A result that is there already is read; one that cannot be is made anew."""
    state, delay = yield from ask(run, State(_RUN) if run.caching is None else _running(run))
    if run.kind is _FLOW or run.keeper is None or not state.is_completed:
        return state, delay
    found = yield from _found(run, state)
    if found is not None:
        return found, 0
    return (yield from ask(run, _running(run, refresh=True), force=True))


def _find_key(run: Run, caching: Caching) -> Script[None]:
    """Find out under which key the run's result would be found."""
    outcome = yield Consult(run, caching.key)
    if isinstance(outcome, Raised):
        run.log.error("It has no cache key, so it is not cached:\n%s", of_user_code(outcome.error))
    else:
        run.cache_key = outcome.value


def _found(run: Run, state: State[Any]) -> Script[State[Any] | None]:
    """Read the result that is there already; None if it is of no use."""
    if run.keeper is None:
        return state
    run.keeper.begin()
    outcome = yield Load(run, state)
    if isinstance(outcome, Returned):
        run.log.info("%s '%s' is not executed: its result is there already.", run.kind.value, run.name)
        return State(state.proposed, value=outcome.value)
    run.log.warning("The result that is there cannot be used, it is made anew: %s", outcome.error)
    return None


def _kept(run: Run, state: State[Any]) -> Script[State[Any]]:
    """Write the value of a try that did what was asked down."""
    data = yield Save(run, state.value)
    if run.cache_key is None or not is_persisted(data):
        return state.kept(data)
    good_for = run.caching.good_for if run.caching else None
    return state.kept(
        data, cache_key=run.cache_key, cache_expiration=clock.now() + good_for if good_for else None
    )


def _ended_from_outside(run: Run, error: BaseException) -> Script[None]:
    """Tell of a crash, or call the hooks of a cancellation; what else ends a run is told by others."""
    if crashed := interrupted(error):
        answer: Answer = yield Propose(run.kind, run.id, crashed.proposed)
        if isinstance(answer, Accepted):
            yield from _call_hooks(run, State(answer.state))
    elif isinstance(error, Terminated | RunStopped) and run.tries and run.hooks.get(StateType.CANCELLED):
        type_ = yield Look(run.process_id or run.id)
        if type_ in {StateType.CANCELLING, StateType.CANCELLED}:
            yield from _call_hooks(run, State(propose(type_)), StateType.CANCELLED)


def _call_hooks(run: Run, state: State[Any], called_for: StateType | None = None) -> Script[None]:
    for hook in run.hooks.get(called_for or state.type, ()):
        outcome = yield Consult(run, partial(run.tell, hook, state))
        if isinstance(outcome, Raised):
            name = getattr(hook, "__name__", repr(hook))
            run.log.error("Hook '%s' raised, which changes nothing:\n%s", name, of_user_code(outcome.error))


def _judged(run: Run, asks_retry: Callable[[State[Any]], bool], state: State[Any]) -> Script[State[Any]]:
    """Ask the run's condition whether a try that ended so is to be followed by another."""
    if not (state.is_completed or _is_failure(state)):
        return state
    outcome = yield Consult(run, partial(asks_retry, state))
    if isinstance(outcome, Raised):
        run.log.error("The retry condition raised: no retry.\n%s", of_user_code(outcome.error))
    wanted = isinstance(outcome, Returned) and bool(outcome.value)
    if state.is_completed:
        return _not_accepted(run, state) if wanted else state
    return state if wanted else state.that_is_retried(False)


def _is_failure(state: State[Any]) -> bool:
    """Whether a retry may follow: a try that failed, or whose worker died."""
    return state.type is StateType.FAILED or state.details.retriable is True


def _not_accepted(run: Run, state: State[Any]) -> State[Any]:
    message = f"{run.kind.value} returned a value that its retry condition does not accept"
    run.log.warning("%s.", message)
    return State(Failed(message).proposed, value=state.value, error=RunFailedError(f"{message}."))


def ask(run: Subject, state: State[Any], *, force: bool = False) -> Script[tuple[State[Any], float]]:
    """Propose a state until there is an answer: the run's state now, and the seconds it waits there."""
    while True:
        answer: Answer = yield Propose(run.kind, run.id, state.proposed, force)
        if isinstance(answer, Accepted):
            return State(answer.state, value=state.value, error=state.error), 0
        if isinstance(answer, Aborted):
            raise _aborted(run, answer)
        if isinstance(answer, Wait):
            run.log.info("%s waits %g s: %s", run.kind.value, answer.delay, answer.reason)
            yield Sleep(answer.delay, asks_again=True)
            continue
        return State(answer.state), answer.delay


def _aborted(run: Subject, answer: Aborted) -> BaseException:
    """Give up the process for a flow run. A task that may not start is an error the flow can handle.

    (2.20 ends the process for a task too. The run would then count as crashed, with nothing said about the
    limit of 0 that caused it; and where the flow run itself is lost, its next proposal tells.)
    """
    sentence = f"{run.kind.value} '{run.name}' ends here: {answer.reason}"
    return RunStopped(sentence) if run.kind is Kind.FLOW else RunAbortedError(sentence)


def _running(run: Run, *, refresh: bool = False) -> State[Any]:
    if run.cache_key is None or run.caching is None:
        return State(_RUN)
    details = StateDetails(cache_key=run.cache_key, refresh_cache=refresh or run.caching.refresh or None)
    return State(propose(StateType.RUNNING, details=details))


def _failed(run: Run, outcome: Raised | TimedOut | Died) -> State[Any]:
    """Say what it means for the run that the user's function did not return."""
    if isinstance(outcome, TimedOut):
        message = f"{run.kind.value} exceeded timeout of {outcome.seconds:g} second(s)"
        run.log.error("%s", message)
        return Failed(message, name="TimedOut", error=RunTimedOutError(message))
    if isinstance(outcome, Died):
        run.log.error("%s", outcome.error)
        crashed: State[Any] = State(
            propose(StateType.CRASHED, message=str(outcome.error)), error=outcome.error
        )
        return crashed.that_is_retried(True)
    error = from_user_code(outcome.error)
    if isinstance(error, EndRun):
        return error.state
    run.log.error("%s encountered an exception:\n%s", run.kind.value, of_user_code(error))
    return Failed(f"{run.kind.value} encountered an exception: {_one_line(error)}", error=error)


def _one_line(error: BaseException) -> str:
    text = str(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
