"""A run of a flow that does nothing, with a server that accepts everything, of which nothing remains.

Python changes code where it lies as it gets to know it (PEP 659), looks up names for later, and fills its
caches. Whoever forks runs has this behind itself by a few rehearsals; else every run would do it all again,
in pages that are copied for it.
"""

from __future__ import annotations

import socket
import sys
from functools import cache
from types import CodeType, ModuleType
from typing import Any
from uuid import UUID

from reeve.client.calls import Reply, Request
from reeve.client.local import LocalLine, framed
from reeve.client.retry import Terms
from reeve.core.states import StateType, default_name
from reeve.sdk.flows import Flow
from reeve.sdk.modules import FileModule, loaded_files
from reeve.wire import codec

ENOUGH = 20  # calls after which code has found its form, twice over

_NAME = "reeve_rehearsal"
_SOURCE = """
from reeve import flow

@flow
def nothing():
    pass
"""
_ID = UUID(int=0)


class Rehearsed:
    """The flow, to be loaded like one of a file."""

    def __init__(self) -> None:
        self._code: CodeType = compile(_SOURCE, f"{_NAME}.py", "exec")

    def load(self) -> Flow[Any, Any]:
        """Execute the module anew."""
        try:
            flow: Flow[Any, Any] = FileModule(f"{_NAME}.py", ModuleType(_NAME), self._code).execute().nothing
            return flow
        finally:
            del sys.modules[_NAME], loaded_files[_NAME]


@cache
def rehearsed() -> Rehearsed:
    """Return the flow."""
    return Rehearsed()


class AcceptingLine(LocalLine):
    """A line by which a run is told that it is Running, and then that it is Completed."""

    def __init__(self) -> None:
        ours, self._theirs = socket.socketpair()
        for type_ in (StateType.RUNNING, StateType.COMPLETED):
            self._theirs.sendall(framed(codec.encode(_accepted(type_))))
        super().__init__("", ours)

    def exchange(self, request: Request, terms: Terms) -> Reply | None:
        """Answer; whatever else may happen, no server is asked instead."""
        reply = super().exchange(request, terms)
        assert reply is not None, "a rehearsal asks for two states"
        return reply

    def close(self) -> None:
        """Hang up, on both ends."""
        super().close()
        self._theirs.close()


def _accepted(type_: StateType) -> dict[str, Any]:
    state = {
        "id": _ID,
        "type": type_,
        "name": default_name(type_),
        "timestamp": "2000-01-01T00:00:00+00:00",
        "message": None,
        "data": None,
        "state_details": {"flow_run_id": _ID, "transition_id": _ID},
    }
    return {"status": 201, "body": {"state": state, "status": "ACCEPT", "details": {}}}
