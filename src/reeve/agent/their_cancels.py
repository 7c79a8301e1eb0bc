"""Runs of a 2.20 server that are to be cancelled and that this agent does not hold (A90-A99).

2.20's agents end whatever is to be cancelled in their queues, whoever launched it. So does this one; but it
leaves each first to whoever holds it, who may have more proof, or a pid that is not written yet (W31).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Collection
from uuid import UUID

from reeve.agent import tasks, their_processes
from reeve.agent.their_processes import OutOfReachError
from reeve.agent.their_runs import Runs
from reeve.errors import ReeveError
from reeve.wire.responses import FlowRunResponse

# How long a run has been seen to be cancelled, in intervals between two polls (looks may come faster):
_HERE = 2  # before its processes on this host are ended
_AWAY = 12  # before anything is concluded from a process that is not to be seen

log = logging.getLogger("reeve.agent")

_NO_PID = (  # A93
    "This flow run is missing infrastructure tracking information and cancellation cannot be guaranteed."
)


class Cancels:
    """What this agent knows of others' runs that are to be cancelled. ``every``: seconds between polls."""

    def __init__(self, runs: Runs, every: float) -> None:
        self._runs = runs
        self._every = every
        self._since: dict[UUID, float] = {}  # monotonic
        self._said: dict[UUID, str] = {}
        self._ending: dict[UUID, asyncio.Task[None]] = {}

    def see(self, found: Collection[FlowRunResponse]) -> None:
        """Take the others' runs that are to be cancelled now, and see to each of them."""
        ids, now = {run.id for run in found}, time.monotonic()
        self._since = {run_id: self._since.get(run_id, now) for run_id in ids}
        self._said = {run_id: said for run_id, said in self._said.items() if run_id in ids}
        for run in found:
            if run.id not in self._ending:
                self._ending[run.id] = asyncio.create_task(self._see_to(run, now - self._since[run.id]))

    async def close(self) -> None:
        """Let go; what is not ended yet is seen by the next life."""
        await tasks.cancel(list(self._ending.values()))

    async def _see_to(self, run: FlowRunResponse, waited: float) -> None:
        try:
            await self._cancel(run, waited)
        except OutOfReachError as error:
            if waited >= _AWAY * self._every:
                await self._say(run, logging.WARNING, f"{error} Flow run cannot be cancelled by this agent.")
        except ReeveError as error:  # the next look tries again
            log.error("The server refused cancelling flow run '%s': %s", run.id, error)  # noqa: TRY400  # its sentence says it all
        except Exception:  # W1
            log.exception(
                "Encountered exception while killing infrastructure for flow run '%s'. "
                "Flow run may not be cancelled.",
                run.id,
            )
        finally:
            del self._ending[run.id]

    async def _cancel(self, run: FlowRunResponse, waited: float) -> None:
        is_left = waited >= _AWAY * self._every
        if run.infrastructure_pid is None:
            if is_left:
                await self._say(run, logging.ERROR, _without_pid(run))
                await self._runs.cancelled(run.id, _NO_PID)
            return
        found = await asyncio.to_thread(their_processes.find, run)
        if their_processes.are_of_a_runner(found):
            await self._say(run, logging.INFO, _with_runner(run))
        elif found and waited >= _HERE * self._every and not their_processes.have_an_agent(found):
            log.info("Killing process %s for flow run '%s'...", run.infrastructure_pid, run.id)  # A97
            await their_processes.end(run)
            await self._runs.cancelled(run.id)
            log.info("Cancelled flow run '%s'!", run.id)
        elif not found and is_left:
            await self._say(run, logging.WARNING, _not_found(run))
            await self._runs.cancelled(run.id)

    async def _say(self, run: FlowRunResponse, level: int, sentence: str) -> None:
        """Say something of a run here and in its own log, once."""
        if self._said.get(run.id) != sentence:
            self._said[run.id] = sentence
            log.log(level, "Flow run '%s': %s", run.id, sentence)
            await self._runs.say(run.id, level, sentence)


def _without_pid(run: FlowRunResponse) -> str:
    return (
        f"Flow run '{run.id}' does not have an infrastructure pid attached. "
        "Cancellation cannot be guaranteed."
    )


def _with_runner(run: FlowRunResponse) -> str:
    return (
        f"Skipping cancellation because flow run '{run.id}' is using enhanced cancellation. "
        "A dedicated runner will handle cancellation."
    )


def _not_found(run: FlowRunResponse) -> str:
    number = (run.infrastructure_pid or "").rpartition(":")[2]
    return f"Unable to kill process {number}: The process was not found. Marking flow run as cancelled."
