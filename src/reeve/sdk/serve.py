"""``flow.serve``: a deployment whose runs are executed from this process, until Ctrl-C.

An agent does that, the same as everywhere, in a process of its own that serves one queue
(docs/decisions/0017-deploying.md).
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from types import FrameType
from typing import TYPE_CHECKING, Any

from reeve.errors import InvalidInputError, ReeveError
from reeve.sdk.deploy import DEFAULT_QUEUE, deploy
from reeve.sdk.deployed import connect, spec_of
from reeve.wire import endpoints

if TYPE_CHECKING:
    from reeve.sdk.deploy import Deployable

DRAIN_SECONDS = 10  # as `reeve up`
PR_SET_PDEATHSIG = 1  # prctl(2)


def serve(flow: Deployable, name: str, limit: int | None, keys: Mapping[str, Any]) -> None:
    """Deploy a flow and execute its runs in child processes, at most ``limit`` at once, until Ctrl-C.

    When it ends, the deployment is paused: nobody would execute its runs. Raises what ``deploy`` raises,
    and ReeveError when its agent cannot go on.
    """
    if limit is not None and limit < 1:
        raise InvalidInputError("serve(): limit: at least 1 run at once", field="limit")
    spec = spec_of(flow, name, keys, "serve")
    if spec.queue == DEFAULT_QUEUE:
        # Runs of its own alone: this process has no other deployment's code.
        spec = replace(spec, queue=re.sub(r"[^\w.-]", "-", f"serve-{flow.name}-{name}"))
    with connect() as client:
        made, _ = deploy(client, spec)
        print(f"Serving {spec.full_name} until Ctrl-C. Ask for a run: reeve run {spec.full_name}")  # noqa: T201  # says what it does
        try:
            code = _agent(spec.pool, spec.queue, limit)
        finally:
            client.call(endpoints.pause_deployment, id=made.id)
    print(f"{spec.full_name} is paused: nobody serves it.")  # noqa: T201  # as above
    if code:
        raise ReeveError(f"The agent that served {spec.full_name} ended with code {code}; it has said why.")


def _agent(pool: str, queue: str, limit: int | None) -> int:
    arguments = ["-p", pool, "-q", queue, "--name", queue, "--drain-timeout", str(DRAIN_SECONDS)]
    if limit is not None:
        arguments += ["--limit", str(limit)]
    command = [sys.executable, "-m", "reeve", "agent", "start", "--hide-welcome", *arguments]
    # In this process's group: Ctrl-C reaches the agent by itself, the second one too.
    with subprocess.Popen(command, preexec_fn=_die_with_parent()) as agent, _forwarding(agent):  # noqa: PLW1509  # prctl alone
        return agent.wait()


@contextlib.contextmanager
def _forwarding(agent: subprocess.Popen[bytes]) -> Iterator[None]:
    """Leave the end to the agent: it drains."""

    def forward(number: int, _: FrameType | None) -> None:
        if number != signal.SIGINT:
            agent.send_signal(number)

    before = {one: signal.signal(one, forward) for one in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


def _die_with_parent() -> Any:
    """Return what has the agent told to end when this process is killed; looked up before the fork."""
    if sys.platform != "linux":
        return None
    libc, parent = ctypes.CDLL(None, use_errno=True), os.getpid()

    def tie() -> None:
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)

    return tie
