"""Follow a run: its states and log lines as they come, through restarts of the server."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from uuid import UUID

from msgspec.structs import replace

from reeve.client.sync import Client
from reeve.wire import endpoints, filters, queries, requests
from reeve.wire.responses import Followed, Log, State

HOLD_SECONDS = 20.0  # how long the server may keep a question open
ANSWER_SECONDS = 10.0  # on top of the hold, until the server counts as silent
# Agents send what a run has logged every half second: after an end and this silence nothing is on its way.
LAST_LINES_SECONDS = 3.0
_SHY_SECONDS = 1.0  # in which a task is told to the server after the first line it has said
_LOOK_SECONDS = 0.1


def follow(client: Client, run_id: UUID, *, hold: float = HOLD_SECONDS) -> Iterator[Followed]:
    """Yield what is new about a run until it has ended; with nothing new an empty one after each hold.

    The end comes after the lines that were logged before it, also where these reach the server later.
    """
    ask = requests.Follow(hold_seconds=hold, with_subflows=True)
    end: list[State] = []
    while True:
        news = _ask(client, run_id, ask)
        over = news.final and not news.logs
        waited = bool(end) and not (news.states or news.logs)
        states = [*end, *news.states]
        end = [] if over or waited else [state for state in states[-1:] if state.type.is_final]
        yield replace(news, states=states[: len(states) - len(end)])
        if over:
            return
        ask = _next(news, min(hold, LAST_LINES_SECONDS) if end else hold)


def so_far(client: Client, run_id: UUID) -> Iterator[Followed]:
    """Yield what there is about a run by now."""
    ask = requests.Follow(hold_seconds=0, with_subflows=True)
    while True:
        news = _ask(client, run_id, ask)
        if not (news.states or news.logs):
            return
        yield news
        ask = _next(news, 0)


def _ask(client: Client, run_id: UUID, ask: requests.Follow) -> Followed:
    return client.call(endpoints.follow_flow_run, ask, id=run_id, timeout=ask.hold_seconds + ANSWER_SECONDS)


def _next(news: Followed, hold: float) -> requests.Follow:
    return requests.Follow(
        state_cursor=news.state_cursor,
        log_cursor=news.log_cursor,
        hold_seconds=hold,
        with_subflows=True,
    )


class Speakers:
    """Whose lines are whose: the names of the task runs and subflows that say them, asked for once."""

    def __init__(self, client: Client, run_id: UUID) -> None:
        self._client = client
        self._run_id = run_id
        self._names: dict[UUID, str] = {}
        self._nobodies: set[UUID] = set()

    def hear(self, logs: list[Log]) -> None:
        """Learn the names of those who have not been heard before."""
        said_by = {log.task_run_id for log in logs} - self._nobodies
        until = time.monotonic() + _SHY_SECONDS
        while self._ask_tasks(said_by) and time.monotonic() < until:
            time.sleep(_LOOK_SECONDS)
        self._nobodies |= {id_ for ids in self._unknown(said_by) for id_ in ids}
        for ids in self._unknown(log.flow_run_id for log in logs if log.flow_run_id != self._run_id):
            these = queries.FlowRunQuery(flow_runs=filters.FlowRunFilter(id=filters.RunIds(any_=ids)))
            self._names |= {run.id: run.name for run in self._client.call(endpoints.filter_flow_runs, these)}

    def whose(self, log: Log) -> str | None:
        """Return who says a line, SUBFLOW/TASK; None for the run itself, and for one nobody knows."""
        said_by = (log.flow_run_id, log.task_run_id)
        names = [self._names[run_id] for run_id in said_by if run_id in self._names]
        return "/".join(names) or None

    def _ask_tasks(self, said_by: set[UUID | None]) -> bool:
        """Ask for the names of task runs; return whether any is missing."""
        for ids in self._unknown(said_by):
            of = queries.TaskRunQuery(task_runs=filters.TaskRunFilter(id=filters.Ids(any_=ids)))
            self._names |= {run.id: run.name for run in self._client.call(endpoints.filter_task_runs, of)}
        return any(self._unknown(said_by))

    def _unknown(self, ids: Iterable[UUID | None]) -> Iterator[list[UUID]]:
        """Yield the ids that have no name yet, as many at once as an answer has room for."""
        unknown = sorted({id_ for id_ in ids if id_ is not None and id_ not in self._names})
        for start in range(0, len(unknown), queries.MAX_LIMIT):
            yield unknown[start : start + queries.MAX_LIMIT]
