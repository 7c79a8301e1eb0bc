"""Task runs under way: what ``submit`` and ``map`` return."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Generator, Iterable, Mapping
from typing import Any, Generic, TypeVar

from reeve.core.states import StateType, propose
from reeve.errors import ReeveError
from reeve.sdk.states import Failed, State, interrupted

T = TypeVar("T")

# A thread that waits without end is woken this often, so that its own timeout can reach it.
NAP_SECONDS = 0.5

# ``runs_tasks`` is set in the threads of a runner.
in_thread = threading.local()


class UpstreamFailedError(ReeveError):
    """A task was not started, because a task whose result it needs did not complete."""

    code = "upstream_failed"


class FutureNotReadyError(ReeveError):
    """An async task has not ended yet. Inside async code wait for it with: await future"""  # noqa: D400

    code = "future_not_ready"


class TaskFuture(Generic[T]):
    """The coming result of a submitted task. In async code it can be awaited: ``await future``.

    ``work`` takes the task run to its end; None means that somebody else does, and calls ``conclude``.
    """

    def __init__(self, name: str, work: Callable[[], State[T]] | None = None) -> None:
        self.name = name
        self._work = work
        self._claim = threading.Lock()
        if work is None:
            self._claim.acquire()  # begun already
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._callbacks: list[Callable[[TaskFuture[T]], None]] = []
        self._state: State[T] | None = None
        self._stop: BaseException | None = None

    def done(self) -> bool:
        """Whether the task run has ended."""
        return self._ended.is_set()

    @property
    def state(self) -> State[T] | None:
        """The final state, or None while the task run has not ended."""
        if self._stop is not None:
            raise self._stop
        return self._state

    def wait(self, timeout: float | None = None) -> State[T] | None:
        """Wait until the task run has ended, at most ``timeout`` seconds; return its final state or None."""
        if timeout is None:
            self.settle()
        else:
            self._ended.wait(timeout)
        return self.state

    def result(self, timeout: float | None = None) -> T:
        """Wait for the task's value and return it.

        Raises what the task raised, RunFailedError when it ended without a value for another reason, and
        TimeoutError when it has not ended after ``timeout`` seconds.
        """
        state = self.wait(timeout)
        if state is None:
            raise TimeoutError(f"Task run '{self.name}' has not ended within {timeout:g} s.")
        return state.result()

    def __await__(self) -> Generator[Any, None, T]:
        yield from self.settled().__await__()
        return self.result()

    def __repr__(self) -> str:
        return f"TaskFuture({self.name!r}, {self._state or 'not ended'})"

    # What the engine needs.

    def settle(self) -> None:
        """Wait until the task run has ended, without looking at how.

        A thread of a runner does work that nobody has begun yet by itself: were it only to wait, tasks that
        wait for tasks could fill all threads for ever.
        """
        self.before_waiting()
        while not self._ended.wait(NAP_SECONDS):
            pass

    def before_waiting(self) -> None:
        """Do the work if that is up to who waits; FutureNotReadyError where waiting would stop it."""
        if self._work is not None and getattr(in_thread, "runs_tasks", False):
            self.work()
        elif self._work is None and not self.done() and in_event_loop():
            raise FutureNotReadyError

    async def settled(self) -> None:
        """Wait in an event loop until the task run has ended, without looking at how."""
        import asyncio

        loop = asyncio.get_running_loop()
        ended = asyncio.Event()

        def tell(_: TaskFuture[T]) -> None:
            if not loop.is_closed():  # nobody waits any more
                loop.call_soon_threadsafe(ended.set)

        self.when_done(tell)
        await ended.wait()

    def work(self) -> None:
        """Do the work, unless it has begun already."""
        if not self._claim.acquire(blocking=False):
            return
        assert self._work is not None, "what has no work is claimed from the start"
        try:
            self.conclude(self._work())
        except Exception as error:  # noqa: BLE001  # it belongs to whoever waits, not to this thread
            self.conclude(Failed(str(error), error=error))
        except BaseException as stop:
            self.interrupt(stop)
            raise

    def interrupt(self, stop: BaseException) -> None:
        """End a task run that was ended from outside."""
        self.conclude(interrupted(stop) or stop)

    def drop(self, reason: str) -> None:
        """End a task run that has not begun; one that has begun is left alone."""
        if self._claim.acquire(blocking=False):
            self.conclude(State(propose(StateType.CANCELLED, message=reason)))

    def conclude(self, outcome: State[T] | BaseException) -> None:
        """Note how the task run has ended and wake who waits for it."""
        if isinstance(outcome, State):
            self._state = outcome
        else:
            self._stop = outcome
        with self._lock:
            self._ended.set()
            self._work = None  # with the arguments: many futures may be kept for long
            callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            callback(self)

    def when_done(self, callback: Callable[[TaskFuture[T]], None]) -> None:
        """Call back once the task run has ended: at once if it has, else in the thread that ends it."""
        with self._lock:
            if not self._ended.is_set():
                self._callbacks.append(callback)
                return
        callback(self)


class TaskFutures(list[TaskFuture[T]]):
    """The futures of ``map``, in the order of the values."""

    def wait(self, timeout: float | None = None) -> list[State[T] | None]:
        """Wait for each, at most ``timeout`` seconds a piece; return their final states."""
        return [future.wait(timeout) for future in self]

    def result(self, timeout: float | None = None) -> list[T]:
        """Wait for all values and return them in order; raises the first error, by order."""
        return [future.result(timeout) for future in self]


class unmapped(Generic[T]):  # noqa: N801  # reads as a word in a call, as in 2.20
    """Mark an iterable that ``map`` hands to every call as it is."""

    def __init__(self, value: T) -> None:
        self.value = value


class allow_failure(Generic[T]):  # noqa: N801  # reads as a word in a call, as in 2.20
    """Mark futures, alone or in a collection, whose failure does not keep a task from starting.

    The task gets the error in the place of the value; the marks also work in ``wait_for``.
    """

    def __init__(self, value: T) -> None:
        self.value = value


def elements(value: Any) -> list[Any] | None:
    """Return what ``map`` takes apart, or None for a value that every call gets as it is."""
    if isinstance(value, allow_failure):
        inner = elements(value.value)
        return None if inner is None else [allow_failure(one) for one in inner]
    if isinstance(value, TaskFuture):
        value = value.result()
    if isinstance(value, unmapped | str | bytes | bytearray | Mapping) or not isinstance(value, Iterable):
        return None
    return list(value)


def in_event_loop() -> bool:
    """Whether the caller runs in an event loop; without loading asyncio to find out."""
    asyncio = sys.modules.get("asyncio")
    return asyncio is not None and asyncio._get_running_loop() is not None  # noqa: SLF001  # the documented one raises
