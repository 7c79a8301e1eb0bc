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
from reeve.sdk.engine.run import Reporter, Run
from reeve.sdk.engine.script import (
    Call,
    Consult,
    Effect,
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
        effect = next(script)
        while True:
            try:
                answer = _do(effect, reporter)
            except BaseException as error:  # noqa: BLE001  # the script decides, it raises what it does not know
                effect = script.throw(error)
            else:
                effect = script.send(answer)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]  # StopIteration forgets the script's type


def _do(effect: Effect, reporter: Reporter) -> Any:  # noqa: PLR0911  # a table
    match effect:
        case Call(run):
            return call(run)
        case Sleep(seconds, asks_again):
            return time.sleep(clock.to_sleep(seconds, asks_again=asks_again))
        case Settle(futures):
            for future in futures:
                future.settle()
            return None
        case Consult(run, function):
            return _consult(run, function)
        case Save(run, value):
            return save(run, value)
        case Load(run, state):
            return load(run, state)
        case OpenFlowRun() | OpenTaskRun() | Propose() | Look():
            return report(effect, reporter)


def report(effect: Report, reporter: Reporter) -> Any:
    """Hand an effect that concerns the reporter to it."""
    match effect:
        case Propose(kind, run_id, state, force):
            return reporter.propose(kind, run_id, state, force=force)
        case OpenTaskRun(spec):
            return reporter.open_task_run(spec)
        case OpenFlowRun(flow_spec):
            return reporter.open_flow_run(flow_spec)
        case Look(flow_run_id):
            return reporter.look(flow_run_id)


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

    def in_scope() -> Any:
        with run.scope(run):
            return run.body()

    try:
        if run.elsewhere is not None:
            outcome: Outcome = run.elsewhere(run)
            return outcome
        if run.timeout is None:
            return Returned(in_scope())
        from reeve.sdk.engine.timeouts import call_within

        return call_within(run.timeout, in_scope)
    except Exception as error:  # noqa: BLE001  # whatever the user's code raises is its outcome
        return Raised(error)


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
