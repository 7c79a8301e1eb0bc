"""The shell for event loops: the same effects, none of which holds the loop up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from reeve import clock
from reeve.sdk.engine import sync
from reeve.sdk.engine.outcomes import Outcome, Raised, Returned, TimedOut
from reeve.sdk.engine.reports import Look, OpenFlowRun, OpenTaskRun, Propose
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
from reeve.sdk.states import Terminated
from reeve.sdk.termination import termination


async def perform(script: Script[T], reporter: Reporter) -> T:
    """Run a script to its end in this event loop and return its value."""
    try:
        effect = next(script)
        while True:
            try:
                answer = await _do(effect, reporter)
            except asyncio.CancelledError as cancel:
                effect = script.throw(Terminated() if termination.requested else cancel)
            except BaseException as error:  # noqa: BLE001  # the script decides, it raises what it does not know
                effect = script.throw(error)
            else:
                effect = script.send(answer)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]  # StopIteration forgets the script's type


async def _do(effect: Effect, reporter: Reporter) -> Any:  # noqa: PLR0911  # a table
    match effect:
        case Call(run):
            return await call(run)
        case Sleep(seconds, asks_again):
            await asyncio.sleep(clock.to_sleep(seconds, asks_again=asks_again))
            return None
        case Settle(futures):
            for future in futures:
                await future.settled()
            return None
        case Consult(run, function):
            return await _consult(run, function)
        case Save(run, value):
            return await asyncio.to_thread(sync.save, run, value)
        case Load(run, state):
            return await asyncio.to_thread(sync.load, run, state)
        case OpenFlowRun() | OpenTaskRun() | Propose() | Look():
            if reporter.blocks(effect):
                return await asyncio.to_thread(sync.report, effect, reporter)
            return sync.report(effect, reporter)


async def call(run: Run) -> Outcome:
    """Call within the run's timeout, which strikes at the next ``await`` that waits."""
    outcome: Outcome
    try:
        async with asyncio.timeout(run.timeout) as limit, run.scope(run):
            outcome = Returned(await run.body())
    except Exception as error:  # noqa: BLE001  # whatever the user's code raises is its outcome
        outcome = Raised(error)
    return TimedOut(run.timeout or 0) if limit.expired() else outcome


async def _consult(run: Run, function: Callable[[], Any]) -> Outcome:
    """Call on a thread, since the function may take its time; a coroutine it makes runs on the loop."""
    try:
        async with run.aside(run):
            value = await asyncio.to_thread(function)
            return Returned(await value if isinstance(value, Coroutine) else value)
    except Exception as error:  # noqa: BLE001  # whatever the user's code raises is its outcome
        return Raised(error)
