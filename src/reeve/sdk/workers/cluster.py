"""What clusters have in common: calls pickled with their code, handed over, waited for, never made twice."""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Generic, TypeVar
from uuid import UUID

import cloudpickle

from reeve.sdk.engine.outcomes import Outcome
from reeve.sdk.modules import loaded_files
from reeve.sdk.runners import Abandoned
from reeve.sdk.workers.crossing import (
    Ended,
    Named,
    NotPicklableError,
    RemoteCall,
    outcome,
    pack,
    reference,
)

LOOK_SECONDS = 0.2  # how often who waits looks whether the call is still to be waited for

H = TypeVar("H")  # what a cluster finds a call again with


class ClusterWorkers(ABC, Generic[H]):
    """Each call is a task of the cluster's that it never runs a second time: that is reeve's to decide.

    What is left to a cluster: how a call is handed over, waited for, and forgotten.
    """

    def __init__(self) -> None:
        self.running: dict[UUID, H] = {}
        self.stopping = False

    def reference(self, owner: str, fn: Callable[..., Any]) -> Named | Callable[..., Any]:
        """Return the function's name if workers can import its module; else the function itself."""
        module = sys.modules.get(fn.__module__)
        if fn.__module__ in loaded_files and module is not None:
            cloudpickle.register_pickle_by_value(module)
            return fn
        if fn.__module__ == "__main__":
            return fn
        try:
            return reference(owner, fn)
        except NotPicklableError:
            return fn

    def call(self, owner: str, call: RemoteCall) -> Outcome:
        """Have the cluster perform a call; raises NotPicklableError, and what ended it from outside."""
        packed = pack(owner, call, cloudpickle)
        if self.stopping:
            raise Abandoned
        handle = self.running[call.run_id] = self.submit(call.name, packed)
        try:
            told = self.wait(handle)
        finally:
            del self.running[call.run_id]
            self.release(handle)
        if told[0] == "stopped":
            raise (SystemExit if told[1] == "SystemExit" else Abandoned)(*told[2])
        return outcome(owner, told)

    @abstractmethod
    def submit(self, name: str, packed: bytes) -> H:
        """Have a worker call ``perform_remotely`` with ``packed``, once; the cluster shows ``name``."""

    @abstractmethod
    def wait(self, handle: H) -> Ended:
        """Wait for how a call ended; Abandoned when the cluster was told to give it up."""

    def release(self, handle: H) -> None:
        """Have the cluster forget a call."""
