"""``reeve up``: a server and an agent on this machine, watched over by one small process."""

from __future__ import annotations

import errno
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import click

from reeve.agent.slots import DEFAULT_LIMIT
from reeve.cli import show
from reeve.cli.frame import example
from reeve.cli.main import USER_ERROR
from reeve.cli.session import PATIENCE_SECONDS
from reeve.cli.supervise import Child, Signals
from reeve.client.calls import ServerTimeoutError, ServerUnreachableError
from reeve.client.sync import Client
from reeve.core.agents import AgentStatus
from reeve.errors import NotFoundError, ReeveError
from reeve.sdk.deploy import DEFAULT_POOL, make_pool
from reeve.settings import Settings, Source, gather, make_home_key, masked_url, own_url
from reeve.wire import endpoints, requests

DRAIN_SECONDS = 10.0  # protocol §9
LAST_SECONDS = 60.0  # after the drain: a cancellation with its graces, then nobody is waited for
SERVER_SECONDS = 10.0  # a server that is stopped finishes its last commit
READY_SECONDS = 60.0  # a first start makes the database; on a loaded machine that takes its time
TICK_SECONDS = 0.05  # between two looks at what is starting


@dataclass(frozen=True, slots=True)
class Plan:
    """What is started."""

    settings: Settings
    url: str
    key: str
    pool: str
    queues: tuple[str, ...]
    limit: int
    drain: float  # seconds


class _StopAskedError(Exception):
    """Somebody pressed Ctrl-C before everything was up."""


class _ChildEndedError(Exception):
    """A process ended before it was of use; ``code`` is what the command ends with."""

    def __init__(self, child: Child) -> None:
        super().__init__(child.name)
        self.code = max(child.exit_code or 0, USER_ERROR)


@click.command(epilog=example("reeve up --limit 4"))
@click.option("-p", "--pool", default=DEFAULT_POOL, show_default=True, help="Work pool to serve.")
@click.option(
    "-q", "--queue", "queues", multiple=True, default=("default",), show_default=True, help="Queue to serve."
)
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    metavar="N",
    default=DEFAULT_LIMIT,
    show_default=True,
    help="Runs at once.",
)
@click.option(
    "--port", type=click.IntRange(1, 65535), metavar="PORT", help="Port of the server. Default: 4200"
)
@click.option("--database-url", metavar="URL", help="Default: SQLite in the home")
@click.option("--open", "open_door", is_flag=True, help="Serve clients without a key, on loopback only.")
def up(
    *,
    pool: str,
    queues: tuple[str, ...],
    limit: int,
    port: int | None,
    database_url: str | None,
    open_door: bool,
) -> None:
    """Run a server and an agent on this machine, until Ctrl-C."""
    loaded = gather(os.environ, {"server_port": port, "database_url": database_url})
    chosen = loaded.settings
    key = make_home_key(chosen.home)
    url = own_url(chosen.server_host, chosen.server_port)
    is_default = {name for name, origin in loaded.origins.items() if origin.source is Source.DEFAULT}
    # Whoever sits at a terminal waits less than a service does, unless it was said how long.
    drain = DRAIN_SECONDS if "drain_timeout" in is_default else chosen.drain_timeout
    plan = Plan(chosen, url, chosen.api_key or key, pool, queues, limit, drain)
    _check_port(chosen)
    environment = _environment(plan, quiet="log_level" in is_default)
    server = Child("server", _server_arguments(chosen, open_door=open_door), environment)
    agent = Child("agent", _agent_arguments(plan), environment)
    with Signals() as signals:
        code = _supervise(signals, server, agent, plan)
    sys.exit(code)


def _supervise(signals: Signals, server: Child, agent: Child, plan: Plan) -> int:
    """Start both, keep both alive until somebody asks to stop, end both; return the exit code."""
    try:
        _start(signals, server, agent, plan)
        return _keep(signals, server, agent)
    except _StopAskedError:
        return 0
    except _ChildEndedError as error:
        return error.code
    finally:
        _end_agent(signals, agent, plan.drain)
        _end_server(signals, server)


def _start(signals: Signals, server: Child, agent: Child, plan: Plan) -> None:
    """Start the server, then what it needs to know, then the agent; then say so."""
    server.start()
    with Client(plan.url, plan.key, patience=0) as probe:
        _until(signals, server, lambda: _answers(probe))
    with Client(plan.url, plan.key, patience=PATIENCE_SECONDS) as client:
        _make_queues(client, plan)
        before = _agents_online(client, plan.pool)
        agent.start()
        _until(signals, agent, lambda: bool(_agents_online(client, plan.pool) - before))
    click.echo(_announcement(plan))


def _keep(signals: Signals, server: Child, agent: Child) -> int:
    """Start again what dies; return the exit code when somebody asks to stop, or nothing else helps."""
    due: dict[Child, float] = {}
    while True:
        now = time.monotonic()
        for child in (server, agent):
            if child.is_alive:
                continue
            if child.exit_code == USER_ERROR:
                return USER_ERROR  # it has said why
            if child not in due:
                pause = child.pause()
                due[child] = now + pause
                _say(f"The {child.name} ended ({_how(child)}). Starting it again in {pause:g} s.")
            elif now >= due[child]:
                del due[child]
                child.start()
        if signals.take(min(due.values(), default=now + 3600.0) - now):
            return 0


def _end_agent(signals: Signals, agent: Child, drain: float) -> None:
    """Let runs finish; asked again, have them cancelled; at last, wait no more."""
    if not agent.is_alive:
        return
    asked = signals.asked
    agent.send(signal.SIGTERM)
    if not agent.end(signals, within=0.5) and signals.asked == asked:
        _say(f"Runs get {drain:g} s to finish. Ctrl-C again cancels them.")
        agent.end(signals, within=drain)
    if agent.is_alive:
        _say("Cancelling the runs.")
        agent.send(signal.SIGTERM)
    if not agent.end(signals, within=LAST_SECONDS):
        agent.send(signal.SIGKILL)
        _say("The agent did not end and was killed. Its runs go on until the next agent of this home.")


def _end_server(signals: Signals, server: Child) -> None:
    if not server.is_alive:
        return
    server.send(signal.SIGTERM)
    if not server.end(signals, within=SERVER_SECONDS):
        server.send(signal.SIGKILL)
        server.end(signals, within=SERVER_SECONDS)


def _until(signals: Signals, child: Child, is_so: Callable[[], bool]) -> None:
    """Wait until something is so that a child brings about."""
    deadline = time.monotonic() + READY_SECONDS
    while not is_so():
        if not child.is_alive:
            raise _ChildEndedError(child)
        if signals.take(TICK_SECONDS):
            raise _StopAskedError
        if time.monotonic() >= deadline:
            raise ReeveError(f"The {child.name} was not ready within {READY_SECONDS:g} s")


def _answers(client: Client) -> bool:
    try:
        client.call(endpoints.server_info, timeout=1)
    except (ServerUnreachableError, ServerTimeoutError):
        return False
    return True


def _agents_online(client: Client, pool: str) -> set[tuple[object, int]]:
    """Return who serves the pool; an agent that starts again has another epoch."""
    return {
        (agent.id, agent.epoch)
        for agent in client.call(endpoints.list_agents)
        if agent.work_pool_name == pool and agent.status is AgentStatus.ONLINE
    }


def _make_queues(client: Client, plan: Plan) -> None:
    make_pool(client, plan.pool)
    for queue in plan.queues:
        try:
            client.call(endpoints.read_pool_queue, work_pool_name=plan.pool, name=queue)
        except NotFoundError:
            made = requests.WorkQueueCreate(name=queue)
            client.call(endpoints.create_pool_queue, made, work_pool_name=plan.pool)


def _check_port(chosen: Settings) -> None:
    """Refuse a port that is taken: whoever listens there would be mistaken for the server started here."""
    family = socket.AF_INET6 if ":" in chosen.server_host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((chosen.server_host, chosen.server_port))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                return  # the server says it better
            where = f"{chosen.server_host}:{chosen.server_port}"
            message = f"Somebody listens on {where} already: another reeve? Choose another with --port"
            raise ReeveError(message) from None


def _environment(plan: Plan, *, quiet: bool) -> dict[str, str]:
    """Return what the children read: all by environment, for arguments are seen by everybody."""
    said = {"REEVE_LOG_LEVEL": "WARNING"} if quiet else {}
    return {
        **os.environ,
        **said,
        "REEVE_HOME": str(plan.settings.home),
        "REEVE_API_URL": plan.url,
        "REEVE_DATABASE_URL": plan.settings.database_url,
    }


def _server_arguments(chosen: Settings, *, open_door: bool) -> list[str]:
    where = ["--host", chosen.server_host, "--port", str(chosen.server_port)]
    return ["server", "start", *where, *(["--open"] if open_door else [])]


def _agent_arguments(plan: Plan) -> list[str]:
    queues = [word for queue in plan.queues for word in ("-q", queue)]
    bounds = ["--limit", str(plan.limit), "--drain-timeout", f"{plan.drain:g}", "--end-runs"]
    return ["agent", "start", "--hide-welcome", "-p", plan.pool, *queues, *bounds]


def _announcement(plan: Plan) -> str:
    queues = ", ".join(plan.queues)
    return "\n".join(
        (
            "reeve is up.",
            f"  address  {plan.url}",
            f"  data     {masked_url(plan.settings.database_url)}",
            f"  serves   pool {plan.pool}, queue {queues}: {plan.limit} runs at once",
            "Ctrl-C to stop.",
        )
    )


def _how(child: Child) -> str:
    code = child.exit_code or 0
    return f"exit code {code}" if code >= 0 else signal.Signals(-code).name


def _say(sentence: str) -> None:
    """Tell whoever is there: a terminal that was closed must not keep the children from being ended."""
    with suppress(OSError):
        show.notice(sentence)
