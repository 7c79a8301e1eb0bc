"""Workers of a Dask cluster: one that is there, or one of processes on this machine."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any
from uuid import UUID, uuid4

import cloudpickle
import dask
from distributed import Client, Future, KilledWorker, LocalCluster

from reeve.sdk.engine.outcomes import Outcome
from reeve.sdk.runners import Abandoned
from reeve.sdk.workers import by_value, crossing
from reeve.sdk.workers.performing import perform_remotely, stop_remotely

_LOOK_SECONDS = 0.2  # how often who waits looks whether the call is still to be waited for
_CLOSE_SECONDS = 20.0  # then its processes are left to the end of this one, which they do not outlive


class DaskWorkers:
    """Each call is a task of Dask's that is never run a second time: whether it may be is reeve's to say."""

    def __init__(self, address: str | None, max_workers: int | None, cluster: Mapping[str, Any]) -> None:
        self._cluster = None if address else _local(max_workers, cluster)
        self._client = Client(address or self._cluster, asynchronous=False, set_as_default=False)
        self.slots = max_workers or sum(self._client.nthreads().values()) or 1
        self._running: dict[UUID, Future] = {}
        self._stopping = False

    def reference(self, owner: str, fn: Callable[..., Any]) -> Any:
        """Return the function's name, or the function."""
        return by_value.function(owner, fn)

    def call(self, owner: str, call: crossing.RemoteCall) -> Outcome:
        """Have the cluster perform a call; raises NotPicklableError, and what ended it from outside."""
        packed = crossing.pack(owner, call, cloudpickle)
        if self._stopping:
            raise Abandoned
        future = self._client.submit(
            perform_remotely, packed, key=f"{call.name}-{uuid4()}", pure=False, retries=0
        )
        self._running[call.run_id] = future
        try:
            told = self._wait(future)
        finally:
            del self._running[call.run_id]
            future.release()
        by_value.refuse_stopped(told)
        return crossing.outcome(owner, told)

    def interrupt(self) -> None:
        """Have running calls end where Python can end them; the others are not begun."""
        self._stopping = True
        running = dict(self._running)
        if running:
            self._client.run(stop_remotely, list(running), on_error="ignore")

    def close(self) -> None:
        """Leave the cluster, or end the own one with all its processes."""
        self._stopping = True
        with suppress(TimeoutError):
            self._client.cancel(list(self._running.values()), force=True)
            self._client.close(_CLOSE_SECONDS)
        if self._cluster is not None:
            with suppress(TimeoutError):
                self._cluster.close(_CLOSE_SECONDS)

    def _wait(self, future: Future) -> crossing.Ended:
        done = threading.Event()
        future.add_done_callback(lambda _: done.set())
        while not done.wait(_LOOK_SECONDS):
            pass
        if future.status == "cancelled":
            raise Abandoned
        try:
            told: crossing.Ended = future.result()
        except KilledWorker as error:
            return ("died", f"The Dask worker that executed it has died: {error.last_worker.address}.")
        except Exception as error:  # noqa: BLE001  # Dask's own: what the task raises comes back as a value
            return crossing.raised(crossing.WorkerError(f"Dask could not execute it: {error!r}"))
        return told


def _local(max_workers: int | None, options: Mapping[str, Any]) -> LocalCluster:
    usual: dict[str, Any] = {
        "n_workers": max_workers,
        "threads_per_worker": 1,
        "host": "127.0.0.1",
        "dashboard_address": "127.0.0.1:0",  # None would take the port of another cluster
    }
    # Dask gives the task of a worker that died to another one: a task of reeve's runs once.
    with dask.config.set({"distributed.scheduler.allowed-failures": 0}):
        return LocalCluster(processes=True, asynchronous=False, **{**usual, **options})
