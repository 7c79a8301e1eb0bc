"""``reeve pools``: work pools."""

from __future__ import annotations

import click

from reeve.cli import show
from reeve.cli.frame import example, json_option
from reeve.cli.session import connect
from reeve.cli.values import LIMIT
from reeve.core.work import OnLost
from reeve.errors import NotFoundError
from reeve.sdk.deploy import POOL_TYPE, no_pool
from reeve.wire import endpoints, requests

ON_LOST = click.Choice([each.value for each in OnLost])


@click.group(epilog=example("reeve pools create gpu --limit 2"))
def pools() -> None:
    """Work pools: create, pause and limit them."""


@pools.command(epilog=example("reeve pools ls --json"))
@json_option
def ls(*, as_json: bool) -> None:
    """List work pools."""
    with connect() as client:
        found = client.call(endpoints.filter_work_pools)
    if as_json:
        return show.document(found)
    rows = [
        (
            pool.name,
            pool.type,
            "PAUSED" if pool.is_paused else pool.status,
            pool.concurrency_limit,
            pool.description,
        )
        for pool in found
    ]
    columns = ("pool", "type", "status", "limit", "description")
    return show.table(columns, rows, empty="No work pools yet. Make one with: reeve pools create NAME")


@pools.command(epilog=example("reeve pools create gpu --limit 2 --on-lost replace"))
@click.argument("name")
@click.option("--type", "type_", default=POOL_TYPE, show_default=True, help="Kind of infrastructure.")
@click.option("--limit", type=LIMIT, help="Runs at once, in all its queues.")
@click.option(
    "--on-lost",
    type=ON_LOST,
    help="A silent agent's runs: wait for it, or replace them.",
)
@click.option("--description", help="What the pool is for.")
def create(*, name: str, type_: str, limit: int | None, on_lost: str | None, description: str | None) -> None:
    """Make a work pool, with a queue "default"."""
    body = requests.WorkPoolCreate(name=name, type=type_, concurrency_limit=limit, description=description)
    with connect() as client:
        client.call(endpoints.create_work_pool, body)
        if on_lost is not None:
            client.call(endpoints.set_pool_options, requests.PoolOptions(on_lost=OnLost(on_lost)), name=name)
    click.echo(f"Made the work pool {name!r}.")


@pools.command(epilog=example("reeve pools pause gpu"))
@click.argument("name")
def pause(*, name: str) -> None:
    """Start no more runs of a pool; what runs goes on."""
    _update(name, requests.WorkPoolUpdate(is_paused=True), "is paused")


@pools.command(epilog=example("reeve pools resume gpu"))
@click.argument("name")
def resume(*, name: str) -> None:
    """Start runs of a paused pool again."""
    _update(name, requests.WorkPoolUpdate(is_paused=False), "is not paused")


@pools.command("set-limit", epilog=example("reeve pools set-limit gpu 4"))
@click.argument("name")
@click.argument("limit", type=LIMIT)
def set_limit(*, name: str, limit: int | None) -> None:
    """Let LIMIT runs of a pool run at once; "none" lifts the limit."""
    said = "has no limit" if limit is None else f"has the limit {limit}"
    _update(name, requests.WorkPoolUpdate(concurrency_limit=limit), said)


@pools.command("set-on-lost", epilog=example("reeve pools set-on-lost gpu replace"))
@click.argument("name")
@click.argument("on_lost", metavar="wait|replace", type=ON_LOST)
def set_on_lost(*, name: str, on_lost: str) -> None:
    """Have runs of silent agents waited for, or replaced; for those claimed from now on."""
    with connect() as client:
        try:
            client.call(endpoints.set_pool_options, requests.PoolOptions(on_lost=OnLost(on_lost)), name=name)
        except NotFoundError:
            no_pool(client, name)
    verb = "replaces" if on_lost == OnLost.REPLACE else "waits for"
    click.echo(f"The work pool {name!r} {verb} runs whose agent is lost.")


def _update(name: str, change: requests.WorkPoolUpdate, said: str) -> None:
    with connect() as client:
        try:
            client.call(endpoints.update_work_pool, change, name=name)
        except NotFoundError:
            no_pool(client, name)
    click.echo(f"The work pool {name!r} {said}.")
