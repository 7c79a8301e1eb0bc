"""Who executes the tasks that one try of a flow run has started: threads, by themselves or with workers."""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

from reeve.errors import InvalidInputError
from reeve.sdk.futures import TaskFuture, in_thread
from reeve.sdk.states import RunStopped


class Abandoned(BaseException):
    """Raised inside a task whose flow run has ended without it."""


def interrupt(thread_id: int, error: type[BaseException] | None) -> None:
    """Raise an error in another thread of this process; None takes back one that was not raised yet.

    It is raised at the thread's next step of Python: a call into C (``time.sleep``, a query, a large matrix
    product) is not cut short.
    """
    import ctypes

    raised = None if error is None else ctypes.py_object(error)
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread_id), raised)


class Workers(Protocol):
    """Other processes that call the functions of tasks."""

    def reference(self, owner: str, fn: Callable[..., Any]) -> Any:
        """Return what stands for a function there; NotPicklableError if nothing can."""

    def call(self, owner: str, call: Any) -> Any:
        """Have a call performed and return its Outcome; raises NotPicklableError."""

    def interrupt(self) -> None:
        """Have running calls end, with time for their clean-up."""

    def close(self) -> None:
        """Let the workers go; none performs a call of this flow after that."""


class TaskRunner(Protocol):
    """Says where submitted tasks are executed, for each try of a flow anew."""

    def start(self) -> tuple[int, Workers | None]:
        """Return how many tasks run at once, and the workers that execute them; None: threads do."""


@dataclass(frozen=True, slots=True)
class ThreadTaskRunner:
    """Threads of the flow's process: for tasks that mostly wait; by default as many as CPUs, and 4 more."""

    max_workers: int | None = None

    def __post_init__(self) -> None:
        checked_size(self.max_workers)

    def start(self) -> tuple[int, Workers | None]:
        """Return the number of threads."""
        return self.max_workers or min(32, (os.cpu_count() or 1) + 4), None


def checked_size(max_workers: int | None) -> None:
    """Raise InvalidInputError for a number of workers that is none."""
    if max_workers is not None and max_workers < 1:
        raise InvalidInputError(f"max_workers must be 1 or more, got {max_workers!r}", field="max_workers")


class ThreadRunner:
    """Up to ``threads`` threads, started as they are needed, first come first served.

    They are daemons: a task that does not end cannot keep the process of an ended run alive.
    """

    def __init__(self, threads: int) -> None:
        self._limit = threads
        self._waiting: deque[TaskFuture[object]] = deque()
        self._news = threading.Condition()
        self._threads: list[threading.Thread] = []
        self._idle = 0
        self._closed = False

    def submit(self, future: TaskFuture[object]) -> None:
        """Have the future's work done by a thread."""
        with self._news:
            self._waiting.append(future)
            if self._idle < len(self._waiting) and len(self._threads) < self._limit:
                self._start_thread()
            self._news.notify()

    def drop_waiting(self, reason: str) -> None:
        """End all tasks that no thread has begun."""
        with self._news:
            dropped = list(self._waiting)
            self._waiting.clear()
        for future in dropped:
            future.drop(reason)

    def close(self) -> None:
        """Let the threads end once there is nothing left to do."""
        with self._news:
            self._closed = True
            self._news.notify_all()

    def interrupt(self, seconds: float) -> None:
        """Stop running tasks where Python can, and wait at most ``seconds`` for their clean-up."""
        for thread in self._threads:
            if thread.is_alive() and thread.ident is not None:
                interrupt(thread.ident, Abandoned)
        self.join(seconds)

    def join(self, seconds: float) -> None:
        """Wait for the threads' end, at most ``seconds``."""
        deadline = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(deadline - time.monotonic(), 0))

    def _start_thread(self) -> None:
        thread = threading.Thread(target=self._run, name=f"reeve-task-{len(self._threads)}", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _run(self) -> None:
        in_thread.runs_tasks = True
        try:
            while (future := self._next()) is not None:
                with suppress(RunStopped, SystemExit):  # whoever waits for the future will hear of it
                    future.work()
        except Abandoned:
            return

    def _next(self) -> TaskFuture[object] | None:
        with self._news:
            self._idle += 1
            while not self._waiting and not self._closed:
                self._news.wait()
            self._idle -= 1
            return self._waiting.popleft() if self._waiting else None
