"""``reeve agent``: the process that claims and launches runs."""

from __future__ import annotations

import click

from reeve.agent.slots import DEFAULT_LIMIT
from reeve.cli import session, show
from reeve.cli.frame import example, json_option
from reeve.wire import endpoints


@click.group(epilog=example("reeve agent start -p default -q default"))
def agent() -> None:
    """Start an agent, list agents."""


@agent.command(epilog=example("reeve agent start -p default -q fast -q slow --limit 4"))
@click.option("-p", "--pool", help="Work pool to serve. Default: default-agent-pool")
@click.option("-q", "--queue", "queues", multiple=True, metavar="QUEUE", help="Queue to serve; repeatable.")
@click.option("-m", "--match", "prefixes", multiple=True, metavar="PREFIX", help="Queues that begin so.")
@click.option(
    "--limit",
    type=click.IntRange(min=0),
    metavar="N",
    default=DEFAULT_LIMIT,
    show_default=True,
    help="Runs at once.",
)
@click.option("--name", help="Name of the agent. Default: the host's")
@click.option("--run-once", is_flag=True, help="Launch what is due, wait for it, and end.")
@click.option("--drain-timeout", type=float, metavar="SECONDS", help="When stopped: what runs get to finish.")
def start(
    *,
    pool: str | None,
    queues: tuple[str, ...],
    prefixes: tuple[str, ...],
    limit: int,
    name: str | None,
    run_once: bool,
    drain_timeout: float | None,
) -> None:
    """Claim due runs of a pool's queues and launch them, until Ctrl-C."""
    chosen = session.settings(drain_timeout=drain_timeout)
    from reeve.agent.agent import Agent, serve

    started = Agent(
        work_queues=queues,
        work_queue_prefix=prefixes,
        work_pool_name=pool,
        limit=limit,
        name=name,
        run_once=run_once,
        settings=chosen,
    )
    serve(started, chosen.log_level)


@agent.command(epilog=example("reeve agent ls"))
@json_option
def ls(*, as_json: bool) -> None:
    """List agents, and when each was last heard of."""
    with session.connect() as client:
        agents = client.call(endpoints.list_agents)
    if as_json:
        return show.document(agents)
    rows = [
        (
            a.name,
            a.host,
            a.work_pool_name,
            ",".join(a.queues),
            a.status,
            a.open_attempts,
            a.limit,
            show.since(a.last_seen),
        )
        for a in agents
    ]
    columns = ("agent", "host", "pool", "queues", "status", "open attempts", "limit", "last heard of")
    return show.table(columns, rows, empty="No agents yet. Start one with: reeve up")
