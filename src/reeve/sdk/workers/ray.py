"""Workers of a Ray cluster: one that is there, or one on this machine."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

import cloudpickle
import ray
from ray.exceptions import GetTimeoutError, RayError, TaskCancelledError, WorkerCrashedError

from reeve.sdk.engine.outcomes import Outcome
from reeve.sdk.runners import Abandoned
from reeve.sdk.workers import by_value, crossing
from reeve.sdk.workers.performing import perform_remotely

_LOOK_SECONDS = 0.2  # how often who waits looks whether the call is still to be waited for


class RayWorkers:
    """Each call is a task of Ray's that is never run a second time: whether it may be is reeve's to say."""

    def __init__(self, address: str | None, max_workers: int | None, options: Mapping[str, Any]) -> None:
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
        self._running: dict[UUID, Any] = {}
        self._stopping = False

    def reference(self, owner: str, fn: Callable[..., Any]) -> Any:
        """Return the function's name, or the function."""
        return by_value.function(owner, fn)

    def call(self, owner: str, call: crossing.RemoteCall) -> Outcome:
        """Have the cluster perform a call; raises NotPicklableError, and what ended it from outside."""
        packed = crossing.pack(owner, call, cloudpickle)
        if self._stopping:
            raise Abandoned
        asked = self._function.options(name=call.name).remote(packed)
        self._running[call.run_id] = asked
        try:
            told = self._wait(asked)
        finally:
            del self._running[call.run_id]
        by_value.refuse_stopped(told)
        return crossing.outcome(owner, told)

    def interrupt(self) -> None:
        """Have running calls end, as by Ctrl-C."""
        self._cancel(force=False)

    def close(self) -> None:
        """End what still runs; leave the cluster, or end the own one."""
        self._cancel(force=True)
        if self._mine:
            ray.shutdown()

    def _cancel(self, *, force: bool) -> None:
        self._stopping = True
        for asked in list(self._running.values()):
            with contextlib.suppress(RayError, ValueError):
                ray.cancel(asked, force=force)

    def _wait(self, asked: Any) -> crossing.Ended:
        while True:
            try:
                told: crossing.Ended = ray.get(asked, timeout=_LOOK_SECONDS)
            except GetTimeoutError:
                continue
            except TaskCancelledError:
                raise Abandoned from None
            except RayError as error:
                if self._stopping:
                    raise Abandoned from None
                if isinstance(error, WorkerCrashedError):
                    return ("died", "The Ray worker that executed it has died.")
                return crossing.raised(crossing.WorkerError(f"Ray could not execute it: {error}"))
            return told
