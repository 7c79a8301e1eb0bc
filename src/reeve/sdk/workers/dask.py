"""Workers of a Dask cluster: one that is there, or one of processes on this machine."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from contextlib import suppress
from typing import Any
from uuid import uuid4

import dask
from distributed import Client, Future, KilledWorker, LocalCluster

from reeve.sdk.runners import Abandoned
from reeve.sdk.workers import crossing
from reeve.sdk.workers.cluster import LOOK_SECONDS, ClusterWorkers
from reeve.sdk.workers.performing import perform_remotely, stop_remotely

_CLOSE_SECONDS = 20.0  # then its processes are left to the end of this one, which they do not outlive


class DaskWorkers(ClusterWorkers[Future]):
    """Workers of Dask's."""

    def __init__(self, address: str | None, max_workers: int | None, cluster: Mapping[str, Any]) -> None:
        super().__init__()
        self._cluster = None if address else _local(max_workers, cluster)
        self._client = Client(address or self._cluster, asynchronous=False, set_as_default=False)
        self.slots = max_workers or sum(self._client.nthreads().values()) or 1

    def submit(self, name: str, packed: bytes) -> Future:
        """Hand a call over, which Dask is to run once."""
        return self._client.submit(perform_remotely, packed, key=f"{name}-{uuid4()}", pure=False, retries=0)

    def release(self, handle: Future) -> None:
        """Have Dask forget a call and its value."""
        handle.release()

    def wait(self, handle: Future) -> crossing.Ended:
        """Wait for how a call ended."""
        done = threading.Event()
        handle.add_done_callback(lambda _: done.set())
        while not done.wait(LOOK_SECONDS):
            pass
        if handle.status == "cancelled":
            raise Abandoned
        try:
            told: crossing.Ended = handle.result()
        except KilledWorker as error:
            return ("died", f"The Dask worker that executed it has died: {error.last_worker.address}.")
        except Exception as error:  # noqa: BLE001  # Dask's own: what the task raises comes back as a value
            return crossing.raised(crossing.WorkerError(f"Dask could not execute it: {error!r}"))
        return told

    def interrupt(self) -> None:
        """Have running calls end where Python can end them; the others are not begun."""
        self.stopping = True
        running = dict(self.running)
        if running:
            self._client.run(stop_remotely, list(running), on_error="ignore")

    def close(self) -> None:
        """Leave the cluster, or end the own one with all its processes."""
        self.stopping = True
        with suppress(TimeoutError):
            self._client.cancel(list(self.running.values()), force=True)
            self._client.close(_CLOSE_SECONDS)
        if self._cluster is not None:
            with suppress(TimeoutError):
                self._cluster.close(_CLOSE_SECONDS)


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
