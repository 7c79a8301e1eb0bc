"""What a worker does with a call: the task's function, in the surroundings that a run has."""

from __future__ import annotations

import logging
import pickle
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from inspect import iscoroutinefunction, signature
from types import MethodType
from typing import Any
from uuid import UUID

from reeve.client.sync import Client
from reeve.sdk import prints
from reeve.sdk.context import Origin, Scope, Surroundings, aside
from reeve.sdk.engine import sync
from reeve.sdk.engine.nowhere import Nowhere
from reeve.sdk.engine.outcomes import Outcome
from reeve.sdk.engine.run import Kind, Reporter, Run
from reeve.sdk.engine.server import Server
from reeve.sdk.logging import log_to_console
from reeve.sdk.runners import Abandoned, ThreadTaskRunner, interrupt
from reeve.sdk.shipping import LogShipper
from reeve.sdk.started import StartedTasks
from reeve.sdk.workers.crossing import Ended, Named, NotPicklableError, RemoteCall, ended, raised
from reeve.wire import endpoints

_ANSWER_SECONDS = 20.0  # as in the process of a run
_LOG_PATIENCE_SECONDS = 5.0
_LAST_LINES_SECONDS = 10.0
_MOST_SHIPPERS = 8  # a worker may outlive many flow runs


def perform(call: RemoteCall) -> Ended:
    """Call the task's function and say how it ended; what is no Exception passes through."""
    if call.log_prints:
        prints.capture()
    return ended(f"Task '{call.task_name}'", _call(call))


def perform_remotely(packed: bytes) -> Ended:
    """Perform a call in a process that is not of reeve's own making, and ship its log from there."""
    call = pickle.loads(packed)  # noqa: S301  # the process of the flow wrote it
    assert isinstance(call, RemoteCall), "nothing else is sent"
    _threads[call.run_id] = threading.get_ident()
    try:
        with _log_shipped(call):
            return perform(call)
    except Exception as error:  # noqa: BLE001  # it is told
        return raised(error)
    except BaseException as stop:  # noqa: BLE001  # as above; the process is not ours to end
        return ("stopped", type(stop).__name__, [arg for arg in stop.args if isinstance(arg, int | str)])
    finally:
        del _threads[call.run_id]


def stop_remotely(run_ids: Sequence[UUID]) -> None:
    """Interrupt those of these runs that are executed in this process."""
    for run_id in run_ids:
        if (thread_id := _threads.get(run_id)) is not None:
            interrupt(thread_id, Abandoned)


_threads: dict[UUID, int] = {}


@contextmanager
def _log_shipped(call: RemoteCall) -> Iterator[None]:
    """Send what a call logs to the server; without one it is shown where the worker's output goes."""
    if call.server is None:
        log_to_console()
        yield
        return
    logging.getLogger("reeve").setLevel(call.log_level)
    shipper, before = _shipper(call.server), _server.set(call.server)
    try:
        yield
    finally:
        _server.reset(before)
        shipper.catch_up(_LAST_LINES_SECONDS)


def _shipper(server: tuple[str, str | None]) -> LogShipper:
    """Return what sends the lines of all calls that belong to one attempt."""
    with _lock:
        if server not in _shippers:
            client = Client(*server, patience=_LOG_PATIENCE_SECONDS)
            shipper = LogShipper(lambda lines: client.call(endpoints.create_logs, lines))
            shipper.addFilter(lambda _: _server.get() == server)
            logging.getLogger("reeve").addHandler(shipper)
            _shippers[server] = shipper
            if len(_shippers) > _MOST_SHIPPERS:
                last = _shippers.pop(next(iter(_shippers)))
                logging.getLogger("reeve").removeHandler(last)
                last.finish(_LAST_LINES_SECONDS)
        return _shippers[server]


_lock = threading.Lock()
_shippers: dict[tuple[str, str | None], LogShipper] = {}
_server: ContextVar[tuple[str, str | None] | None] = ContextVar("reeve_server_of_call", default=None)


def _call(call: RemoteCall) -> Outcome:
    fn = _found(call.function) if isinstance(call.function, Named) else call.function
    if call.receiver:
        fn = MethodType(fn, *call.receiver)
    reporter = _reporter(call)
    # What the task submits by itself stays in this process, and ends with it.
    started = StartedTasks(ThreadTaskRunner(), above=f"{call.run_id.hex[:8]}-")
    around = Surroundings(
        reporter=reporter,
        flow_run_id=call.flow_run_id,
        process_id=call.process_id,
        flow_name=call.flow_name,
        started=started,
        origin=Origin(attempt=call.origin[0], deployment_name=call.origin[1], tags=call.origin[2]),
        log_prints=call.log_prints,
        results=call.results,
    )
    parameters: dict[str, Any] = dict(signature(fn).bind(*call.args, **call.kwargs).arguments)
    run = Run(
        kind=Kind.TASK,
        id=call.run_id,
        name=call.name,
        body=lambda: fn(*call.args, **call.kwargs),
        scope=lambda run: Scope(
            run=run, around=around, parameters=parameters, task_name=call.task_name, tags=call.tags
        ),
        aside=partial(aside, around=around, parameters=parameters),
        timeout=call.timeout,
        process_id=call.process_id,
        flow_run_id=call.flow_run_id,
        tries=call.tries,
    )
    raised: type[BaseException] | None = None
    try:
        return _here(run, is_async=iscoroutinefunction(fn))
    except BaseException as stop:
        raised = type(stop)
        raise
    finally:
        started.finish(raised)


def _found(function: Named) -> Callable[..., Any]:
    try:
        return function.find()
    except (ImportError, AttributeError, KeyError) as error:
        raise NotPicklableError(
            f"Its worker finds no function '{function.qualname}' in the module '{function.module}': {error}."
            " Tasks for other processes are defined in files that can be imported there."
        ) from None


def _here(run: Run, *, is_async: bool) -> Outcome:
    if not is_async:
        return sync.call(run)
    import asyncio

    from reeve.sdk.engine import aio

    return asyncio.run(aio.call(run))


def _reporter(call: RemoteCall) -> Reporter:
    """Return who hears of the tasks that this one calls."""
    if call.server is None:
        return Nowhere()
    url, key = call.server
    return Server(Client(url, key, timeout=_ANSWER_SECONDS, patience=None))
