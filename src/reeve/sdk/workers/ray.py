"""Workers of a Ray cluster: one that is there, or one on this machine."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

import ray
from ray.exceptions import GetTimeoutError, RayError, TaskCancelledError, WorkerCrashedError

from reeve.sdk.runners import Abandoned
from reeve.sdk.workers import crossing
from reeve.sdk.workers.cluster import LOOK_SECONDS, ClusterWorkers
from reeve.sdk.workers.performing import perform_remotely


class RayWorkers(ClusterWorkers[Any]):
    """Workers of Ray's; a handle is a reference to an object of Ray's."""

    def __init__(self, address: str | None, max_workers: int | None, options: Mapping[str, Any]) -> None:
        super().__init__()
        self._mine = not ray.is_initialized()
        if self._mine:
            usual: dict[str, Any] = {
                "include_dashboard": False,
                "log_to_driver": True,
                "logging_level": "WARNING",
            }
            if address is None:
                usual["num_cpus"] = max_workers
            ray.init(address=address or "local", **{**usual, **options})
        self.slots = max_workers or int(ray.cluster_resources().get("CPU", 1)) or 1
        self._function = ray.remote(max_retries=0)(perform_remotely)

    def submit(self, name: str, packed: bytes) -> Any:
        """Hand a call over, which Ray is to run once."""
        return self._function.options(name=name).remote(packed)

    def wait(self, handle: Any) -> crossing.Ended:
        """Wait for how a call ended."""
        while True:
            try:
                told: crossing.Ended = ray.get(handle, timeout=LOOK_SECONDS)
            except GetTimeoutError:
                continue
            except TaskCancelledError:
                raise Abandoned from None
            except RayError as error:
                if self.stopping:
                    raise Abandoned from None
                if isinstance(error, WorkerCrashedError):
                    return ("died", "The Ray worker that executed it has died.")
                return crossing.raised(crossing.WorkerError(f"Ray could not execute it: {error}"))
            return told

    def interrupt(self) -> None:
        """Have running calls end, as by Ctrl-C."""
        self._cancel(force=False)

    def close(self) -> None:
        """End what still runs; leave the cluster, or end the own one."""
        self._cancel(force=True)
        if self._mine:
            ray.shutdown()

    def _cancel(self, *, force: bool) -> None:
        self.stopping = True
        for asked in list(self.running.values()):
            with contextlib.suppress(RayError, ValueError):
                ray.cancel(asked, force=force)
