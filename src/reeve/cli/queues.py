"""``reeve queues``: the work queues of a pool."""

from __future__ import annotations

import click

from reeve.cli import show
from reeve.cli.frame import example, json_option
from reeve.cli.session import connect
from reeve.cli.values import LIMIT
from reeve.errors import NotFoundError
from reeve.sdk.deploy import DEFAULT_POOL, no_pool
from reeve.wire import endpoints, requests

_pool = click.option("-p", "--pool", default=DEFAULT_POOL, show_default=True, help="The queue's work pool.")


@click.group(epilog=example("reeve queues create fast -p gpu --priority 1"))
def queues() -> None:
    """Work queues: create, pause, limit and rank them."""


@queues.command(epilog=example("reeve queues ls -p gpu"))
@click.option("-p", "--pool", help="Only this work pool's.")
@json_option
def ls(*, pool: str | None, as_json: bool) -> None:
    """List work queues, in each pool by priority."""
    with connect() as client:
        if pool is None:
            found = client.call(endpoints.filter_work_queues)
        else:
            try:
                found = client.call(endpoints.filter_pool_queues, work_pool_name=pool)
            except NotFoundError:
                no_pool(client, pool)
    if as_json:
        return show.document(found)
    found.sort(key=lambda queue: (queue.work_pool_name or "", queue.priority))
    rows = [
        (
            queue.name,
            queue.work_pool_name,
            queue.priority,
            queue.concurrency_limit,
            "PAUSED" if queue.is_paused else queue.status,
            show.since(queue.last_polled),
        )
        for queue in found
    ]
    columns = ("queue", "pool", "priority", "limit", "status", "last polled")
    return show.table(columns, rows, empty="No work queues yet. Make one with: reeve queues create NAME")


@queues.command(epilog=example("reeve queues create fast -p gpu --priority 1 --limit 2"))
@click.argument("name")
@_pool
@click.option("--priority", type=click.IntRange(min=1), help="1 goes first. Default: after the others")
@click.option("--limit", type=LIMIT, help="Runs at once.")
@click.option("--description", default="", help="What the queue is for.")
def create(*, name: str, pool: str, priority: int | None, limit: int | None, description: str) -> None:
    """Make a work queue in a pool."""
    body = requests.WorkQueueCreate(
        name=name, description=description, priority=priority, concurrency_limit=limit
    )
    with connect() as client:
        try:
            client.call(endpoints.create_pool_queue, body, work_pool_name=pool)
        except NotFoundError:
            no_pool(client, pool)
    click.echo(f"Made the work queue {name!r} in the pool {pool!r}.")


@queues.command(epilog=example("reeve queues pause slow -p gpu"))
@click.argument("name")
@_pool
def pause(*, name: str, pool: str) -> None:
    """Start no more runs of a queue; what runs goes on."""
    _update(pool, name, requests.WorkQueueUpdate(is_paused=True), "is paused")


@queues.command(epilog=example("reeve queues resume slow -p gpu"))
@click.argument("name")
@_pool
def resume(*, name: str, pool: str) -> None:
    """Start runs of a paused queue again."""
    _update(pool, name, requests.WorkQueueUpdate(is_paused=False), "is not paused")


@queues.command("set-limit", epilog=example("reeve queues set-limit fast 2 -p gpu"))
@click.argument("name")
@click.argument("limit", type=LIMIT)
@_pool
def set_limit(*, name: str, limit: int | None, pool: str) -> None:
    """Let LIMIT runs of a queue run at once; "none" lifts the limit."""
    said = "has no limit" if limit is None else f"has the limit {limit}"
    _update(pool, name, requests.WorkQueueUpdate(concurrency_limit=limit), said)


@queues.command("set-priority", epilog=example("reeve queues set-priority fast 1 -p gpu"))
@click.argument("name")
@click.argument("priority", type=click.IntRange(min=1))
@_pool
def set_priority(*, name: str, priority: int, pool: str) -> None:
    """Rank a queue in its pool: 1 goes first, the others move down."""
    _update(pool, name, requests.WorkQueueUpdate(priority=priority), f"has the priority {priority}")


def _update(pool: str, name: str, change: requests.WorkQueueUpdate, said: str) -> None:
    with connect() as client:
        try:
            client.call(endpoints.update_pool_queue, change, work_pool_name=pool, name=name)
        except NotFoundError:
            message = f"There is no work queue {name!r} in the pool {pool!r}. See: reeve queues ls"
            raise NotFoundError(message) from None
    click.echo(f"The work queue {name!r} of the pool {pool!r} {said}.")
