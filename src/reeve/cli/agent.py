"""``reeve agent``: the process that claims and launches runs."""

from __future__ import annotations

import click

from reeve.agent.slots import DEFAULT_LIMIT
from reeve.cli import session, show
from reeve.cli.frame import example, json_option
from reeve.client.calls import VERSION
from reeve.errors import InvalidInputError
from reeve.wire import endpoints


@click.group(epilog=example("reeve agent start -p default -q default"))
def agent() -> None:
    """Start an agent, list agents."""


@agent.command(epilog=example("reeve agent start -p default -q fast -q slow --limit 4"))
@click.option("-p", "--pool", help="Work pool to serve. Default: default-agent-pool")
@click.option(
    "-q",
    "--queue",
    "--work-queue",
    "queues",
    multiple=True,
    metavar="QUEUE",
    help="Queue to serve; repeatable.",
)
@click.option("-m", "--match", "prefixes", multiple=True, metavar="PREFIX", help="Queues that begin so.")
@click.option(
    "-l",
    "--limit",
    type=click.IntRange(min=0),
    metavar="N",
    default=DEFAULT_LIMIT,
    show_default=True,
    help="Runs at once.",
)
@click.option("--name", help="Name of the agent. Default: the host's")
@click.option(
    "--prefetch-seconds",
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    help="Launch runs so long before their time; they wait for it. Default: 0",
)
@click.option("--run-once/--no-run-once", help="Launch what is due, wait for it, and end.")
@click.option("--drain-timeout", type=float, metavar="SECONDS", help="When stopped: what runs get to finish.")
@click.option("--hide-welcome", is_flag=True, help="Say nothing before the start.")
def start(
    *,
    pool: str | None,
    queues: tuple[str, ...],
    prefixes: tuple[str, ...],
    limit: int,
    name: str | None,
    run_once: bool,
    drain_timeout: float | None,
    prefetch_seconds: float | None,
    hide_welcome: bool,
) -> None:
    """Claim due runs of a pool's queues and launch them, until Ctrl-C."""
    if queues and prefixes:
        message = "Only one of -q and -m can be given: name queues, or what their names begin with."
        raise InvalidInputError(message, field="queues")  # A152
    chosen = session.settings(drain_timeout=drain_timeout)
    from reeve.agent.agent import Agent, serve

    started = Agent(
        work_queues=queues,
        work_queue_prefix=prefixes,
        work_pool_name=pool,
        prefetch_seconds=prefetch_seconds,
        limit=limit,
        name=name,
        run_once=run_once,
        settings=chosen,
    )
    if not hide_welcome:
        click.echo(f"Starting v{VERSION} agent connected to {chosen.api_url}...")  # A155
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
