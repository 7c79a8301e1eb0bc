"""``reeve agent``: the process that claims and launches runs."""

from __future__ import annotations

import click

from reeve.agent.slots import DEFAULT_LIMIT
from reeve.cli import find, session, show
from reeve.cli.frame import example, help_all, json_option, rare
from reeve.client.calls import VERSION
from reeve.core.agents import AgentMode, AgentStatus
from reeve.errors import InvalidInputError
from reeve.wire import endpoints, requests, responses


@click.group(epilog=example("reeve agent start -p default -q default"))
def agent() -> None:
    """Start an agent; list, show, pause, resume and drain agents."""


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
@rare(
    "--prefetch-seconds",
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    help="Launch runs so long before their time; they wait for it. Default: 0",
)
@click.option("--run-once/--no-run-once", help="Launch what is due, wait for it, and end.")
@click.option("--drain-timeout", type=float, metavar="SECONDS", help="When stopped: what runs get to finish.")
@rare(
    "--leave-runs/--end-runs",
    default=None,
    help="Whether runs that take longer go on, for its next start to take up. Default: they are ended.",
)
@rare(
    "--status-port",
    type=click.IntRange(0, 65535),
    metavar="PORT",
    help="Where it says how it is, on this machine. Default: any.",
)
@rare("--hide-welcome", is_flag=True, help="Say nothing before the start.")
@help_all
def start(  # noqa: PLR0913  # the options of a user
    *,
    pool: str | None,
    queues: tuple[str, ...],
    prefixes: tuple[str, ...],
    limit: int,
    name: str | None,
    run_once: bool,
    drain_timeout: float | None,
    leave_runs: bool | None,
    prefetch_seconds: float | None,
    status_port: int | None,
    hide_welcome: bool,
) -> None:
    """Claim due runs of a pool's queues and launch them, until Ctrl-C."""
    if queues and prefixes:
        message = "Only one of -q and -m can be given: name queues, or what their names begin with."
        raise InvalidInputError(message, field="queues")  # A152
    chosen = session.settings(drain_timeout=drain_timeout, leave_runs=leave_runs, status_port=status_port)
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
            _queues(a),
            a.status,
            a.mode,
            _slots(a),
            a.version,
            show.since(a.last_seen),
        )
        for a in agents
    ]
    columns = ("agent", "host", "pool", "queues", "status", "told to be", "runs", "version", "last heard of")
    return show.table(columns, rows, empty="No agents yet. Start one with: reeve up")


@agent.command("show", epilog=example("reeve agent show farm-1"))
@click.argument("name")
@json_option
def show_(*, name: str, as_json: bool) -> None:
    """Show an agent and what it runs."""
    with session.connect() as client:
        found = client.call(endpoints.read_agent, id=find.agent(client, name).id)
    if as_json:
        return show.document(found)
    show.facts(
        [
            ("agent", found.name),
            ("id", found.id),
            ("host", found.host),
            ("version", found.version),
            ("pool", found.work_pool_name),
            ("queues", _queues(found)),
            ("status", found.status),
            ("told to be", found.mode),
            ("runs", _slots(found)),
            ("started", show.when(found.started)),
            ("last heard of", show.since(found.last_seen)),
        ]
    )
    click.echo()
    rows = [
        (
            show.id_(run.flow_run_id),
            run.name,
            "Unreachable" if run.unreachable else run.state_name,
            show.since(run.opened),
        )
        for run in found.holds
    ]
    return show.table(("run", "name", "state", "claimed"), rows, empty="It holds no runs.")


@agent.command(epilog=example("reeve agent drain farm-1"))
@click.argument("name")
def drain(*, name: str) -> None:
    """Have an agent claim no more, and end when its runs have ended."""
    _tell(name, AgentMode.DRAINING, "claims no more, and ends when its runs have ended")


@agent.command(epilog=example("reeve agent pause farm-1"))
@click.argument("name")
def pause(*, name: str) -> None:
    """Have an agent claim no more until it is resumed."""
    _tell(name, AgentMode.PAUSED, f"claims no more until: reeve agent resume {name}")


@agent.command(epilog=example("reeve agent resume farm-1"))
@click.argument("name")
def resume(*, name: str) -> None:
    """Have a paused agent claim again."""
    _tell(name, AgentMode.RUNNING, "claims runs again")


def _tell(name: str, mode: AgentMode, what: str) -> None:
    with session.connect() as client:
        told = find.agent(client, name)
        client.call(endpoints.set_agent_mode, requests.SetMode(mode=mode), id=told.id)
    click.echo(f"{told.name} on {told.host} {what}.")
    if told.status is not AgentStatus.ONLINE:
        show.notice(f"It is {told.status} now, and hears of it when it is there again.")


def _slots(one: responses.Agent) -> str:
    return f"{one.open_attempts} of {'any' if one.limit is None else one.limit}"


def _queues(one: responses.Agent) -> str:
    return ",".join([*one.queues, *(f"{prefix}*" for prefix in one.prefixes)]) or "all"
