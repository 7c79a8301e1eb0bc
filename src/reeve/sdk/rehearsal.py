"""A run of a flow that does nothing, with a server that accepts everything, of which nothing remains.

Python changes code where it lies as it gets to know it (PEP 659), looks up names for later, and fills its
caches. Whoever forks runs has this behind itself by a few rehearsals; else every run would do it all again,
in pages that are copied for it.
"""

from __future__ import annotations

import os
import socket
import sys
from typing import Any, Self
from uuid import UUID, uuid4

from reeve.client.local import LENGTH_BYTES, LocalLine
from reeve.core.states import StateType, default_name
from reeve.sdk.load import FoundFlow
from reeve.sdk.modules import loaded_files
from reeve.wire import codec

ENOUGH = 20  # calls after which code has found its form, twice over

_NAME = "rehearsed"  # the module of the flow
_FOLDER = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120  # pathlib costs each start 5 ms
_JOB = {"flow_name": "nothing", "run_name": "rehearsal", "entrypoint": f"{_NAME}.py:nothing", "path": _FOLDER}
_ID = UUID(int=0)


class Stage:
    """What a run finds around itself, with a line by which it is told that it is Running, and then Completed.

    ``environ`` has the variables of its process; ``line`` is its end of the connection to the agent.
    """

    def __init__(self) -> None:
        with socket.socket(socket.AF_UNIX) as agent:
            agent.bind("")  # the kernel names it (unix(7), autobind)
            agent.listen()
            self.line = LocalLine(agent.getsockname().decode()).connected()
            self._theirs, _ = agent.accept()
        for type_ in (StateType.RUNNING, StateType.COMPLETED):
            answer = codec.encode(_accepted(type_))
            self._theirs.sendall(len(answer).to_bytes(LENGTH_BYTES) + answer)
        self._job = os.memfd_create("job")
        os.write(self._job, codec.encode(_JOB))
        self.environ = {
            b"REEVE_API_URL": b"http://127.0.0.1:9/api",  # where nobody is
            b"REEVE_API_KEY": b"none",
            b"REEVE_RUN_ID": str(uuid4()).encode(),
            b"REEVE_ATTEMPT": str(uuid4()).encode(),
            b"REEVE_JOB": b"/proc/self/fd/%d" % self._job,
            b"REEVE_AGENT_SOCKET": b"/",
            b"REEVE_RECORDS": b"/",
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.line.close()
        self._theirs.close()
        os.close(self._job)
        sys.modules.pop(_NAME, None)
        loaded_files.pop(_NAME, None)
        if _FOLDER in sys.path:
            sys.path.remove(_FOLDER)

    def clear(self, flow: FoundFlow | None) -> None:
        """Have the flow's code at hand for the next time."""
        assert flow is not None, "its file lies beside this one"
        flow.loaded = False


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
