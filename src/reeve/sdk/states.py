"""States as the user's process knows them: what a server is told, and the value or error that stays here."""

from __future__ import annotations

from typing import Any, Generic, TypeVar, cast

from msgspec.structs import replace

from reeve.core.results import UNPERSISTED, ResultFormat, reference_in
from reeve.core.states import FINAL, ProposedState, StateDetails, StateType, propose
from reeve.errors import ReeveError

T_co = TypeVar("T_co", covariant=True)


class RunFailedError(ReeveError):
    """A run has no result, because it did not complete."""

    code = "run_failed"


class RunAbortedError(RunFailedError):
    """The server does not let a run start, or go on."""

    code = "run_aborted"


class RunTimedOutError(RunFailedError, TimeoutError):
    """A run was stopped because its time was over."""

    code = "run_timed_out"


_ELSEWHERE: Any = object()  # a value that this process has not got
_COMPLETED = StateType.COMPLETED
_USUAL = propose(_COMPLETED, data=UNPERSISTED)


class State(Generic[T_co]):
    """Where a run is. ``value`` or ``error``: what its code returned or raised, kept in the process."""

    __slots__ = ("_elsewhere", "error", "proposed", "value")

    def __init__(
        self, proposed: ProposedState, *, value: Any = _ELSEWHERE, error: Exception | None = None
    ) -> None:
        self.proposed = proposed
        self._elsewhere = value is _ELSEWHERE
        self.value = None if self._elsewhere else value
        self.error = error

    @property
    def type(self) -> StateType:
        """One of the nine kinds of state."""
        return self.proposed.type

    @property
    def name(self) -> str:
        """The state's name: its capitalised type, or a more telling one such as ``TimedOut``."""
        return self.proposed.name

    @property
    def message(self) -> str | None:
        """Why the run is in this state, if there is something to say."""
        return self.proposed.message

    @property
    def details(self) -> StateDetails:
        """The ids of the run, and when it goes on."""
        return self.proposed.details

    @property
    def is_final(self) -> bool:
        """Whether the run has ended."""
        return self.proposed.type in FINAL

    @property
    def is_completed(self) -> bool:
        """Whether the run has done what was asked."""
        return self.proposed.type is _COMPLETED

    def result(self, *, unpickle: bool = False) -> T_co:
        """Return the run's value; raise its error, or RunFailedError, when it did not complete.

        A value that was persisted by another process is read. If it is a pickle, that runs code of whoever
        wrote it, so it must be asked for by ``unpickle``: else, or if it cannot be read, ResultError.
        """
        if self.is_completed:
            if self._elsewhere:
                self.value, self._elsewhere = _read(self.proposed.data, unpickle=unpickle), False
            return cast("T_co", self.value)
        raise self.error or RunFailedError(f"The run ended as {self}.")

    def that_is_retried(self, retried: bool) -> State[T_co]:
        """Return the state with a mark whether a retry, if there is one left, is to follow it."""
        details = replace(self.details, retriable=retried)
        return State(replace(self.proposed, details=details), value=self.value, error=self.error)

    def kept(self, data: Any, **details: Any) -> State[T_co]:
        """Return the state with what a server is told of its value."""
        proposed = replace(self.proposed, data=data, details=replace(self.details, **details))
        return State(proposed, value=self.value)

    def __repr__(self) -> str:
        return f"{self.name}({self.message!r})" if self.message else f"{self.name}()"


def _read(data: Any, *, unpickle: bool) -> Any:
    from reeve.sdk.reading import read
    from reeve.sdk.storage import ResultError

    reference = reference_in(data)
    if reference is None:
        return None  # as ever: it stayed in its process
    if reference.format is ResultFormat.PICKLE and not unpickle:
        raise ResultError(
            f"{reference.place} is a pickle, which runs code as it is read. If you trust who wrote it: "
            "state.result(unpickle=True)"
        )
    return read(reference)


def Completed(  # noqa: N802  # reads as the state it makes, as in 2.20
    message: str | None = None, *, name: str | None = None, value: Any = None
) -> State[Any]:
    """Make a final state: the run did what was asked. Return it from a flow or a task."""
    if name is None and message is None:
        return State(_USUAL, value=value)
    return State(propose(_COMPLETED, name=name, message=message, data=UNPERSISTED), value=value)


def Failed(  # noqa: N802  # reads as the state it makes, as in 2.20
    message: str | None = None, *, name: str | None = None, error: Exception | None = None
) -> State[Any]:
    """Make a final state: the run did not do what was asked. Return it from a flow or a task."""
    return State(propose(StateType.FAILED, name=name, message=message), error=error)


class EndRun(Exception):  # noqa: N818  # the end it makes may be a good one
    """Raise it in a flow or a task to end that run in a given state: ``raise EndRun(Failed("no rows"))``."""

    def __init__(self, state: State[Any]) -> None:
        super().__init__(repr(state))
        self.state = state


class RunStopped(BaseException):
    """The server took the run away from this process, which ends without another word: aborted,
    superseded, paused or cancelled. Not an Exception, so that user code does not mistake it for its own.
    """


class Terminated(BaseException):
    """SIGTERM arrived. Clean up in ``finally`` blocks and let it pass; the agent tells how the run ended."""


# What ends a run from outside, and is told as a crash (the words of 2.20). Not in it: Terminated, whose
# outcome the agent tells, and RunStopped, after which there is nothing to tell. By name, since asyncio may
# not be loaded.
_INTERRUPTIONS = {
    "KeyboardInterrupt": "Execution was aborted by an interrupt signal.",
    "SystemExit": "Execution was aborted by Python system exit call.",
    "CancelledError": "Execution was cancelled by the runtime environment.",
    "Overdue": "Execution was aborted because the enclosing run exceeded its timeout.",
    "Abandoned": "Execution was aborted because the flow run had ended.",
}


def interrupted(error: BaseException) -> State[Any] | None:
    """Return the state of a run that was ended by this exception; None if it is not ours to tell."""
    for kind in type(error).__mro__:
        if message := _INTERRUPTIONS.get(kind.__name__):
            return State(propose(StateType.CRASHED, message=message))
    return None
