"""Follow a run: its states and log lines as they come, through restarts of the server."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import UUID

from reeve.client.sync import Client
from reeve.wire import endpoints, requests
from reeve.wire.responses import Followed

HOLD_SECONDS = 20.0  # how long the server may keep a question open
ANSWER_SECONDS = 10.0  # on top of the hold, until the server counts as silent


def follow(client: Client, run_id: UUID, *, hold: float = HOLD_SECONDS) -> Iterator[Followed]:
    """Yield what is new about a run until it has ended; with nothing new an empty one after each hold."""
    ask = requests.Follow(hold_seconds=hold)
    while True:
        news = _ask(client, run_id, ask)
        yield news
        if news.final and not news.logs:
            return
        ask = _next(news, hold)


def so_far(client: Client, run_id: UUID) -> Iterator[Followed]:
    """Yield what there is about a run by now."""
    ask = requests.Follow(hold_seconds=0)
    while True:
        news = _ask(client, run_id, ask)
        if not (news.states or news.logs):
            return
        yield news
        ask = _next(news, 0)


def _ask(client: Client, run_id: UUID, ask: requests.Follow) -> Followed:
    return client.call(endpoints.follow_flow_run, ask, id=run_id, timeout=ask.hold_seconds + ANSWER_SECONDS)


def _next(news: Followed, hold: float) -> requests.Follow:
    return requests.Follow(state_cursor=news.state_cursor, log_cursor=news.log_cursor, hold_seconds=hold)
