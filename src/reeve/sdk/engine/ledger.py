"""What became of a process's tasks, on its way to the server: many at once, off the tasks' path.

Entries leave in their order, one batch after the other; a batch that was not acknowledged is sent again, and
the server passes over what it has. So nothing is lost while the process lives. A crash loses what was noted
since the last batch left: GATHER_SECONDS and the time of one answer, or, while the server does not answer,
MOST_WAITING entries, after which tasks wait.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable
from itertools import islice
from typing import TypeAlias
from uuid import UUID, uuid4

from reeve.client.calls import ServerTimeoutError, ServerUnreachableError
from reeve.core.states import ProposedState
from reeve.errors import AttemptSupersededError, ReeveError, UnavailableError
from reeve.sdk.states import RunStopped
from reeve.wire import requests, responses

GATHER_SECONDS = 0.05  # how long an entry waits for company, unless somebody waits for it
MOST_WAITING = 4_000
_BATCH = 500
_BATCH_CHARACTERS = 1_000_000  # of messages, which users write
_RETRY_SECONDS = 1.0
_NAP_SECONDS = 0.5  # a thread that waits is woken this often, so that its own timeout can reach it
_AWAY = (ServerUnreachableError, ServerTimeoutError, UnavailableError)

_Entry: TypeAlias = "requests.MadeTaskRun | tuple[float, UUID, UUID, ProposedState]"
Send: TypeAlias = Callable[[requests.TaskRunReports], responses.TaskRunReceipt]


class Ledger:
    """Sends what is noted from a thread of its own.

    ``send`` delivers a batch or raises a ReeveError; it is to be tried again while the server is away.
    ``heard`` gets every receipt. What else it raises ends the ledger: whoever notes or waits hears of it.
    """

    def __init__(self, send: Send, heard: Callable[[responses.TaskRunReceipt], None]) -> None:
        self._send = send
        self._heard = heard
        self._begin()

    def _begin(self) -> None:
        """Start with nothing; a child of a fork has neither thread nor a right to its parent's entries."""
        self._pid = os.getpid()
        self._waiting: deque[_Entry] = deque()
        self._news = threading.Condition()
        self._said = threading.Condition()
        self._noted = 0
        self._acknowledged = 0
        self._urgent = False
        self._closing = False
        self._failure: ReeveError | None = None
        self._thread: threading.Thread | None = None

    @property
    def is_full(self) -> bool:
        """Whether the next note has to wait for the server."""
        return len(self._waiting) >= MOST_WAITING

    def made(self, run: requests.MadeTaskRun) -> None:
        """Note a task run."""
        self._note(run)

    def entered(self, task_run_id: UUID, state: ProposedState) -> None:
        """Note a state that a task run has entered just now."""
        self._note((time.monotonic(), uuid4(), task_run_id, state))

    def flush(self) -> None:
        """Wait until the server has all that was noted so far, however long it takes.

        Raises RunStopped when the run belongs to another attempt by now, or what else the server said.
        """
        if self._noted == self._acknowledged and self._failure is None:
            return
        if self._pid != os.getpid():
            self._begin()
        with self._news:
            self._raise_failure()
            wanted = self._noted
            if self._acknowledged >= wanted:
                return
            self._urgent = True
            self._news.notify()
        with self._said:
            while self._acknowledged < wanted and self._failure is None:
                self._said.wait(_NAP_SECONDS)
        self._raise_failure()

    def close(self, seconds: float) -> None:
        """Send what there is, for at most ``seconds``, and end."""
        if self._pid != os.getpid() or self._thread is None:
            return
        with self._news:
            self._closing = self._urgent = True
            self._news.notify()
        if self._thread is not threading.current_thread():
            self._thread.join(seconds)

    def _note(self, entry: _Entry) -> None:
        if self._pid != os.getpid():
            self._begin()
        while self.is_full and self._failure is None:
            with self._said:
                self._said.wait(_NAP_SECONDS)
        self._raise_failure()
        with self._news:
            self._waiting.append(entry)
            self._noted += 1
            waiting = len(self._waiting)
            if waiting in {1, _BATCH}:
                self._news.notify()
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="reeve-tasks", daemon=True)
                self._thread.start()

    def _raise_failure(self) -> None:
        if isinstance(self._failure, AttemptSupersededError):
            raise RunStopped(str(self._failure)) from self._failure
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        while (batch := self._gather()) and self._failure is None:
            self._deliver(batch)

    def _gather(self) -> list[_Entry]:
        """Wait for entries and return a batch of them, which stay; none when none will come."""
        with self._news:
            self._news.wait_for(lambda: self._waiting or self._closing)
            self._news.wait_for(lambda: self._urgent or len(self._waiting) >= _BATCH, GATHER_SECONDS)
            batch, characters = [], 0
            for entry in islice(self._waiting, _BATCH):
                batch.append(entry)
                characters += _characters(entry)
                if characters >= _BATCH_CHARACTERS:
                    break
            return batch

    def _deliver(self, batch: list[_Entry]) -> None:
        try:
            receipt = self._send(_reports(batch))
        except _AWAY:
            time.sleep(_RETRY_SECONDS)
            return
        except ReeveError as error:
            self._failure = error
        else:
            self._heard(receipt)
        with self._news:
            for _ in batch:
                self._waiting.popleft()
            self._acknowledged += len(batch)
            self._urgent = self._closing or (self._urgent and bool(self._waiting))
        with self._said:
            self._said.notify_all()


def _characters(entry: _Entry) -> int:
    return 0 if isinstance(entry, requests.MadeTaskRun) else len(entry[3].message or "")


def _reports(batch: list[_Entry]) -> requests.TaskRunReports:
    now = time.monotonic()
    body = requests.TaskRunReports()
    for entry in batch:
        if isinstance(entry, requests.MadeTaskRun):
            body.made.append(entry)
            continue
        at, id_, task_run_id, state = entry
        told = requests.EnteredState(
            id=id_,
            task_run_id=task_run_id,
            age=now - at,
            type=state.type,
            name=state.name,
            message=state.message,
            data=state.data,
            state_details=state.details,
        )
        body.entered.append(told)
    return body
