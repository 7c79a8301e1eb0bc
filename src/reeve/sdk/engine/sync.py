"""The shell for threads: performs a script's effects one after the other."""

from __future__ import annotations

import time
from typing import Any

from reeve.sdk.engine.run import Reporter, Run
from reeve.sdk.engine.script import (
    Call,
    Effect,
    OpenFlowRun,
    OpenTaskRun,
    Outcome,
    Propose,
    Raised,
    Returned,
    Script,
    Settle,
    Sleep,
    T,
)


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


def _do(effect: Effect, reporter: Reporter) -> Any:
    match effect:
        case Call(run):
            return _call(run)
        case Sleep(seconds):
            return time.sleep(seconds)
        case Settle(futures):
            for future in futures:
                future.settle()
            return None
        case OpenFlowRun() | OpenTaskRun() | Propose():
            return report(effect, reporter)


def report(effect: OpenFlowRun | OpenTaskRun | Propose, reporter: Reporter) -> Any:
    """Hand an effect that concerns the reporter to it."""
    match effect:
        case Propose(kind, run_id, state):
            return reporter.propose(kind, run_id, state)
        case OpenTaskRun(spec):
            return reporter.open_task_run(spec)
        case OpenFlowRun(flow_spec):
            return reporter.open_flow_run(flow_spec)


def _call(run: Run) -> Outcome:
    def in_scope() -> Any:
        with run.scope(run):
            return run.body()

    try:
        if run.timeout is None:
            return Returned(in_scope())
        from reeve.sdk.engine.timeouts import call_within

        return call_within(run.timeout, in_scope)
    except Exception as error:  # noqa: BLE001  # whatever the user's code raises is its outcome
        return Raised(error)
