"""The tasks that one try of a flow run has started, and how they end with it."""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING, Any

from msgspec import Struct, field

from reeve.sdk.futures import TaskFuture
from reeve.sdk.runners import TaskRunner, ThreadRunner, Workers

if TYPE_CHECKING:
    import asyncio
    from _thread import LockType

_CLEAN_UP_SECONDS = 3.0  # what the tasks of an interrupted flow run get for their ``finally`` blocks


class StartedTasks(Struct, eq=False):
    """Submitted tasks, on threads and on the event loop. A flow run waits for all of them at its end.

    When the flow's function raises, tasks that have not begun are dropped. When it is interrupted (its
    timeout, a signal, the server), running ones are interrupted too. ``above`` begins the positions of their
    runs, where a flow run has several of these. ``began``: whether there has been a task; most flows' ends
    have nothing to look for.
    """

    task_runner: TaskRunner
    above: str = ""
    began: bool = False
    _runner: ThreadRunner | None = None
    _workers: Workers | None = None
    _open: set[TaskFuture[Any]] = field(default_factory=set)
    _on_loop: set[asyncio.Task[None]] = field(default_factory=set)
    _calls: dict[str, int] = field(default_factory=dict)
    _lock: LockType = field(default_factory=Lock)

    def position(self, key: str) -> str:
        """Count the calls of a task, from 0: with the task's key this identifies a task run (2.20)."""
        with self._lock:
            calls = self._calls[key] = self._calls.get(key, 0) + 1
            return f"{self.above}{calls - 1}"

    @property
    def workers(self) -> Workers | None:
        """The other processes that call the functions of submitted tasks, if such do."""
        self._threads()
        return self._workers

    def on_thread(self, future: TaskFuture[Any]) -> None:
        """Have a thread do the future's work."""
        self._track(future)
        self._threads().submit(future)

    def on_loop(self, future: TaskFuture[Any], task: asyncio.Task[None]) -> None:
        """Take note of a future whose work is done by a task of the event loop."""
        self._track(future)
        self._on_loop.add(task)
        task.add_done_callback(self._on_loop.discard)

    def finish(self, raised: type[BaseException] | None) -> None:
        """Wait for all tasks, or end them, now that the flow's function has returned or ``raised``."""
        if not self.began:
            return
        if _is_interruption(raised):
            self._abandon()
            return
        try:
            self._drop_waiting(raised)
            while (future := self._next_open()) is not None:
                future.settle()
        except BaseException:
            self._abandon()
            raise
        self._close()

    async def finish_async(self, raised: type[BaseException] | None) -> None:
        """Do as ``finish``, in an event loop."""
        if not self.began:
            return
        if _is_interruption(raised):
            await self._abandon_async()
            return
        try:
            self._drop_waiting(raised)
            while (future := self._next_open()) is not None:
                await future.settled()
        except BaseException:
            await self._abandon_async()
            raise
        self._close()

    def _threads(self) -> ThreadRunner:
        """Return what takes tasks to their end, started when it is first needed."""
        with self._lock:
            self.began = True
            if self._runner is None:
                threads, self._workers = self.task_runner.start()
                self._runner = ThreadRunner(threads)
            return self._runner

    def _close(self) -> None:
        if self._runner is not None:
            self._runner.close()
        if self._workers is not None:
            self._workers.close()

    def _track(self, future: TaskFuture[Any]) -> None:
        with self._lock:
            self.began = True
            self._open.add(future)
        future.when_done(self._untrack)

    def _untrack(self, future: TaskFuture[Any]) -> None:
        with self._lock:
            self._open.discard(future)

    def _next_open(self) -> TaskFuture[Any] | None:
        with self._lock:
            return next(iter(self._open), None)

    def _drop_waiting(self, raised: type[BaseException] | None) -> None:
        if raised is not None and self._runner is not None:
            self._runner.drop_waiting("Not started: the flow run had ended.")

    def _abandon(self) -> None:
        self._drop_waiting(BaseException)
        if self._runner is None:
            return
        self._runner.close()
        if self._workers is None:
            self._runner.interrupt(_CLEAN_UP_SECONDS)
            return
        self._workers.interrupt()
        self._runner.join(_CLEAN_UP_SECONDS)
        self._runner.interrupt(0)
        self._workers.close()
        self._runner.join(_CLEAN_UP_SECONDS)

    async def _abandon_async(self) -> None:
        import asyncio

        tasks = list(self._on_loop)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._abandon()


def _is_interruption(raised: type[BaseException] | None) -> bool:
    return raised is not None and not issubclass(raised, Exception)
