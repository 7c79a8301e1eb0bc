"""The shell for threads: performs a script's effects one after the other."""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine
from typing import Any

from reeve import clock
from reeve.core.states import CACHED
from reeve.errors import ReeveError
from reeve.sdk.engine.outcomes import Outcome, Raised, Returned
from reeve.sdk.engine.reports import Look, OpenFlowRun, OpenTaskRun, Propose, Report
from reeve.sdk.engine.run import Answer, Reporter, Run
from reeve.sdk.engine.script import (
    Call,
    Consult,
    Load,
    Save,
    Script,
    Settle,
    Sleep,
    T,
)
from reeve.sdk.states import State


def perform(script: Script[T], reporter: Reporter) -> T:
    """Run a script to its end in this thread and return its value."""
    try:
        effect = script.send(None)
        while True:
            try:
                answer = _WAYS[type(effect)](effect, reporter)
            except BaseException as error:  # noqa: BLE001  # the script decides, it raises what it does not know
                effect = script.throw(error)
            else:
                effect = script.send(answer)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]  # StopIteration forgets the script's type


def report(effect: Report, reporter: Reporter) -> Any:
    """Hand an effect that concerns the reporter to it."""
    return _WAYS[type(effect)](effect, reporter)


def _propose(effect: Propose, reporter: Reporter) -> Answer:
    return reporter.propose(effect.kind, effect.run_id, effect.state, force=effect.force)


def _settle(effect: Settle, _: Reporter) -> None:
    for future in effect.futures:
        future.settle()


def save(run: Run, value: Any) -> Any:
    """Write the run's value down and return what its state says of it."""
    assert run.keeper is not None, "only a run with a keeper saves"
    return run.keeper.save(run.flow_run_id, run.id, value, run.log.warning)


def load(run: Run, state: State[Any]) -> Outcome:
    """Read the value that is there already."""
    assert run.keeper is not None, "only a run with a keeper loads"
    try:
        return Returned(run.keeper.load(state.proposed.data, of_this_call=state.name != CACHED))
    except ReeveError as error:
        return Raised(error)


def call(run: Run) -> Outcome:
    """Call the run's function once, here or where it is to be called, within its timeout."""
    try:
        if run.elsewhere is not None:
            outcome: Outcome = run.elsewhere(run)
            return outcome
        if run.timeout is not None:
            return _within(run, run.timeout)
        with run.scope(run):
            return Returned(run.body())
    except Exception as error:  # noqa: BLE001  # whatever the user's code raises is its outcome
        return Raised(error)


def _within(run: Run, seconds: float) -> Outcome:
    from reeve.sdk.engine.timeouts import call_within

    def in_scope() -> Any:
        with run.scope(run):
            return run.body()

    return call_within(seconds, in_scope)


def _consult(run: Run, function: Callable[[], Any]) -> Outcome:
    try:
        with run.aside(run):
            value = function()
            return Returned(_awaited(value) if isinstance(value, Coroutine) else value)
    except Exception as error:  # noqa: BLE001  # whatever the user's code raises is its outcome
        return Raised(error)


def _awaited(coroutine: Coroutine[Any, Any, Any]) -> Any:
    import asyncio

    return asyncio.run(coroutine)


_WAYS: dict[type, Callable[[Any, Reporter], Any]] = {
    Call: lambda effect, _: call(effect.run),
    Propose: _propose,
    Sleep: lambda effect, _: time.sleep(clock.to_sleep(effect.seconds, asks_again=effect.asks_again)),
    Settle: _settle,
    Consult: lambda effect, _: _consult(effect.run, effect.function),
    Save: lambda effect, _: save(effect.run, effect.value),
    Load: lambda effect, _: load(effect.run, effect.state),
    OpenFlowRun: lambda effect, reporter: reporter.open_flow_run(effect.spec),
    OpenTaskRun: lambda effect, reporter: reporter.open_task_run(effect.spec),
    Look: lambda effect, reporter: reporter.look(effect.flow_run_id),
}
