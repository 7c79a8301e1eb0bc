"""What crosses to a worker and back: one call of a task's function, and how it ended. No I/O."""

from __future__ import annotations

import inspect
import pickle
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MethodType
from typing import Any, Protocol, TypeAlias
from uuid import UUID

from reeve.errors import ReeveError
from reeve.sdk.engine.outcomes import Died, Outcome, Raised, Returned, TimedOut
from reeve.sdk.persisting import Persisting
from reeve.sdk.tracebacks import came_from_elsewhere, of_user_code


class NotPicklableError(ReeveError):
    """What a task needs, or returns, cannot be pickled, so that no other process can have it."""

    code = "not_picklable"


class WorkerError(ReeveError):
    """A task raised, in its worker, an error that cannot be pickled; the message says what it was."""

    code = "worker_error"


class WorkerDiedError(ReeveError):
    """The process that executed a task has died."""

    code = "worker_died"


@dataclass(frozen=True, slots=True)
class Named:
    """A function that is found by its name in a module."""

    module: str
    qualname: str

    def find(self) -> Callable[..., Any]:
        """Return the plain function; ImportError, AttributeError if it is not there."""
        __import__(self.module)
        return _plain(_walk(sys.modules[self.module], self.qualname))


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteCall:
    """One try of a task's function: what it is called with, and what it finds around itself.

    ``server``: the address and the key of the server that hears of the flow run, if one does.
    """

    function: Named | Callable[..., Any]
    receiver: tuple[Any, ...]  # what the function is bound to, or nothing
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    run_id: UUID
    name: str
    task_name: str
    tags: Sequence[str]
    timeout: float | None
    tries: int
    flow_run_id: UUID | None
    process_id: UUID | None
    flow_name: str | None
    origin: tuple[int, str | None, Sequence[str]]
    log_prints: bool
    log_level: int
    results: Persisting
    server: tuple[str, str | None] | None


# How a call ended: a kind, and what belongs to it.
Ended: TypeAlias = tuple[Any, ...]


class Pickler(Protocol):
    """A module that pickles: ``pickle``, or one that also pickles functions."""

    def dumps(self, obj: Any, /) -> bytes:
        """Return a pickle."""


def reference(owner: str, fn: Callable[..., Any]) -> Named:
    """Return by what name another process finds a function; NotPicklableError if by none."""
    plain = fn.__func__ if isinstance(fn, MethodType) else fn
    named = Named(plain.__module__, plain.__qualname__)
    try:
        found = named.find()
    except (ImportError, AttributeError, KeyError):
        found = None
    if found is plain:
        return named
    raise NotPicklableError(
        f"{owner} cannot be sent to another process: no module has a function '{named.qualname}' to be found"
        " by its name. Define it at the top level of a module, or use the runner of threads."
    )


def pack(owner: str, call: RemoteCall, pickler: Pickler = pickle) -> bytes:
    """Return a call as bytes; NotPicklableError names what cannot be pickled."""
    try:
        return pickler.dumps(call)
    except Exception as error:  # pickling calls methods of the user's  # noqa: BLE001  # pickling calls methods of the user's
        raise NotPicklableError(
            f"{owner} cannot be sent to another process: {_culprit(call, error, pickler)}"
        ) from None


def _culprit(call: RemoteCall, error: Exception, pickler: Pickler) -> str:
    names = list(inspect.signature(_bare(call.function)).parameters)
    given = {**dict(zip(names[len(call.receiver) :], call.args, strict=False)), **call.kwargs}
    receivers = dict(zip(names, call.receiver, strict=False))
    for name, value in {**receivers, **given}.items():
        try:
            pickler.dumps(value)
        except Exception as why:  # noqa: BLE001  # as above
            return (
                f"its argument '{name}' ({type(value).__name__}) cannot be pickled: {why}."
                " Pass plain data from which the task can make it, or use the runner of threads."
            )
    return f"its function cannot be pickled: {error}."


def _bare(function: Named | Callable[..., Any]) -> Callable[..., Any]:
    return function.find() if isinstance(function, Named) else function


def ended(owner: str, outcome: Outcome) -> Ended:
    """Return the end of a call as it is sent back; what cannot be pickled is told in words."""
    if isinstance(outcome, TimedOut):
        return ("timed out", outcome.seconds)
    if isinstance(outcome, Returned):
        try:
            return ("returned", pickle.dumps(outcome.value))
        except Exception as error:  # noqa: BLE001  # pickling calls methods of the user's
            return raised(_not_returned(owner, outcome.value, error))
    assert isinstance(outcome, Raised), "a worker does not report its own death"
    return raised(outcome.error)


def raised(error: Exception) -> Ended:
    """Return an error as it is sent back, with the places in the user's code."""
    places = of_user_code(error)
    try:
        pickled = pickle.dumps(error)
        pickle.loads(pickled)  # noqa: S301  # our own; many errors can be pickled but not read again
    except Exception:  # noqa: BLE001  # pickling calls methods of the user's
        told = WorkerError(
            f"{type(error).__name__}: {error} (The error itself cannot be pickled, and stayed in the worker.)"
        )
        pickled = pickle.dumps(told)
    return ("raised", pickled, places)


def outcome(owner: str, told: Ended) -> Outcome:
    """Read how a call ended."""
    match told:
        case ("returned", pickled):
            try:
                return Returned(pickle.loads(pickled))  # noqa: S301  # of our own worker
            except Exception as error:  # noqa: BLE001  # unpickling calls code of the user's
                return Raised(NotPicklableError(f"{owner}: what it returned cannot be read here: {error}"))
        case ("raised", pickled, places):
            return Raised(_read_error(pickled, places))
        case ("timed out" | "late", seconds):
            return TimedOut(seconds)
        case ("died", cause):
            return Died(WorkerDiedError(cause))
    raise AssertionError(f"no worker says {told!r}")


def _read_error(pickled: bytes, places: str) -> Exception:
    try:
        error: Exception = pickle.loads(pickled)  # noqa: S301  # of our own worker
    except Exception as why:  # noqa: BLE001  # unpickling calls code of the user's
        error = WorkerError(f"{places.splitlines()[-1]} (The error itself cannot be read here: {why})")
    came_from_elsewhere(error, places)
    return error


def _not_returned(owner: str, value: Any, error: Exception) -> NotPicklableError:
    return NotPicklableError(
        f"{owner} returned a value ({type(value).__name__}) that cannot be pickled, so that its flow cannot"
        f" have it: {error}. Return plain data, or use the runner of threads."
    )


def _walk(module: Any, qualname: str) -> Any:
    found = module
    for name in qualname.split("."):
        found = getattr(found, name)
    return found


def _plain(found: Any) -> Callable[..., Any]:
    fn = getattr(found, "fn", found)  # a Task stands where its function was defined
    return fn.__func__ if isinstance(fn, MethodType) else fn
