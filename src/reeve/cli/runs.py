"""``reeve runs``: what became of runs."""

from __future__ import annotations

import contextlib
import getpass
import logging
import socket
import sys
import time
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from uuid import UUID

import click

from reeve.cli import find, news, pauses, show
from reeve.cli.frame import example, json_option
from reeve.cli.session import connect, connect_for_long
from reeve.cli.values import PAIR
from reeve.client.sync import Client
from reeve.core import states
from reeve.core.results import ResultFormat, reference_in
from reeve.core.states import StateType
from reeve.errors import ConflictError
from reeve.wire import endpoints, filters, queries, requests
from reeve.wire.responses import Attempt, FlowRunResponse, OrchestrationResult, State

LOOK_SECONDS = 5.0  # how often a cancellation under way is explained anew
WAIT_SECONDS = 60.0  # a signal, SIGTERM and SIGKILL with their graces end well within it

SHOWN_BYTES = 2000  # of a result, beside the other facts of its run

# States with a name of their own; any other name is that of a type.
_NAMES = (
    states.LATE,
    states.AWAITING_RETRY,
    states.RESUMING,
    states.RETRYING,
    states.RERUNNING,
    states.CACHED,
    states.SUSPENDED,
    states.NOT_READY,
    states.UNREACHABLE,
)


@click.group(epilog=example("reeve runs ls --state Failed", "reeve runs explain 0198c7d2"))
def runs() -> None:
    """List, show, follow, cancel and explain runs.

    ID is a run's id, or the first characters of a recent one's.
    """


@runs.command(epilog=example("reeve runs ls --state Running --deployment nightly/prod"))
@click.option("--state", help="Only in this state: Running, Late, Failed …")
@click.option("--deployment", metavar="FLOW/DEPLOYMENT", help="Only of this deployment.")
@click.option(
    "--limit", type=click.IntRange(1, queries.MAX_LIMIT), default=20, show_default=True, metavar="N"
)
@json_option
def ls(*, state: str | None, deployment: str | None, limit: int, as_json: bool) -> None:
    """List runs that are due or were, the latest first; coming ones with --state Scheduled."""
    with connect() as client:
        of = None if deployment is None else find.deployment(client, deployment).id
        found = client.call(endpoints.filter_flow_runs, _query(state, of, limit))
        if as_json:
            return show.document(found)
        names = _origins(client, found)
    rows = [
        (
            show.id_(run.id),
            run.name,
            names[run.id],
            run.state_name,
            show.when(run.expected_start_time),
            _lasted(run),
        )
        for run in found
    ]
    columns = ("id", "run", "deployment", "state", "due", "ran for")
    return show.table(columns, rows, empty="No such runs. Ask for one with: reeve run FLOW/DEPLOYMENT")


@runs.command("show", epilog=example("reeve runs show 0198c7d2"))
@click.argument("id_", metavar="ID")
@json_option
def show_(*, id_: str, as_json: bool) -> None:
    """Show a run, its attempts with their causes, and its states."""
    with connect() as client:
        run = find.run(client, id_)
        attempts = client.call(endpoints.flow_run_attempts, id=run.id)
        entered = client.call(endpoints.flow_run_states, query={"flow_run_id": run.id})
        origin = _origins(client, [run])[run.id]
    if as_json:
        return show.document({"run": run, "attempts": attempts, "states": entered})
    code = next((one.code_version for one in reversed(attempts) if one.code_version), None)
    show.facts(_facts(run, origin, code))
    _show_attempts(attempts)
    return _show_states(entered)


@runs.command(epilog=example("reeve runs logs 0198c7d2 -f --level WARNING"))
@click.argument("id_", metavar="ID")
@click.option("-f", "--follow", is_flag=True, help="Go on until the run has ended.")
@click.option(
    "--level",
    type=click.Choice(["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"], case_sensitive=False),
    default="DEBUG",
    help="Only lines of this level and above.",
)
@click.option("--json", "as_json", is_flag=True, help="Print a line of JSON for each.")
def logs(*, id_: str, follow: bool, level: str, as_json: bool) -> None:
    """Print a run's log, with the lines of the subflows in it."""
    with connect() as client:
        run = find.run(client, id_)
    least = logging.getLevelNamesMapping()[level.upper()]
    with connect_for_long() if follow else connect() as client:
        speakers = news.Speakers(client, run.id)
        for each in news.follow(client, run.id) if follow else news.so_far(client, run.id):
            said = [log for log in each.logs if log.level >= least]
            if not as_json:
                speakers.hear(said)
            for log in said:
                if as_json:
                    show.line(log)
                else:
                    show.log(log, speakers.whose(log))


@runs.command(epilog=example("reeve runs cancel 0198c7d2"))
@click.argument("id_", metavar="ID")
@click.option("--force", is_flag=True, help="End it without proof that nothing runs on.")
@click.option("--no-wait", is_flag=True, help="Ask, and do not wait until it is Cancelled.")
def cancel(*, id_: str, force: bool, no_wait: bool) -> None:
    """Cancel a run, and wait for the proof that nothing of it is left."""
    by = f"{getpass.getuser()} on {socket.gethostname()}"
    with connect() as client:
        run = find.run(client, id_)
        verdict = client.call(endpoints.cancel_flow_run, requests.CancelRun(force=force, by=by), id=run.id)
        state = _granted(run, verdict)
        click.echo(f"{run.name} ({run.id}) is {state.name}.")
        if not (state.type.is_final or no_wait):
            sys.exit(_wait(run))


@runs.command(epilog=example("reeve runs resume 0198c7d2 -P approved=true"))
@click.argument("id_", metavar="ID")
@click.option("-P", "--param", "given", type=PAIR, multiple=True, help="What it waits for; JSON or text.")
def resume(*, id_: str, given: tuple[tuple[str, str], ...]) -> None:
    """Let a paused or suspended run go on, with what it waits for."""
    with connect() as client:
        run = find.run(client, id_)
        state = pauses.resume(client, run, given)
    click.echo(f"{run.name} ({run.id}) is {state.name}.")


def _explain(id_: str, *, as_json: bool) -> None:
    with connect() as client:
        found = client.call(endpoints.explain_flow_run, id=find.run(client, id_).id)
    if as_json:
        return show.document(found)
    click.echo(f"{found.state}: {found.summary}")
    for fact in (*found.notes, *(cause.sentence for cause in found.causes)):
        click.echo(f"  - {fact}")
    for remedy in found.remedies:
        click.echo(f"  > {remedy}")
    return None


@runs.command("explain", epilog=example("reeve runs explain 0198c7d2"))
@click.argument("id_", metavar="ID")
@json_option
def explain_of_runs(*, id_: str, as_json: bool) -> None:
    """Say why a run is where it is, and what to do."""
    _explain(id_, as_json=as_json)


@click.command(epilog=example("reeve explain 0198c7d2"))
@click.argument("id_", metavar="RUN")
@json_option
def explain(*, id_: str, as_json: bool) -> None:
    """Say why a run has not started, and what to do."""
    _explain(id_, as_json=as_json)


def _query(state: str | None, deployment_id: UUID | None, limit: int) -> queries.FlowRunQuery:
    """Compose the listing: due until now and the latest first, or in one state."""
    in_state, coming = _state_criterion(state)
    return queries.FlowRunQuery(
        sort=queries.FlowRunSort.EXPECTED_START_TIME_ASC
        if coming
        else queries.FlowRunSort.EXPECTED_START_TIME_DESC,
        limit=limit,
        flow_runs=filters.FlowRunFilter(
            state=in_state,
            deployment_id=filters.NullableIds(any_=[deployment_id]) if deployment_id else None,
            expected_start_time=None if state else filters.Instants(before_=datetime.now(UTC)),
        ),
    )


def _state_criterion(state: str | None) -> tuple[filters.StateCriterion | None, bool]:
    """Read a state's name or type, in any case; say whether its runs are still to come."""
    if state is None:
        return None, False
    if state.upper() in StateType.__members__:
        type_ = StateType[state.upper()]
        return filters.StateCriterion(type=filters.StateTypes(any_=[type_])), type_ is StateType.SCHEDULED
    name = next((name for name in _NAMES if name.lower() == state.lower()), state)
    return filters.StateCriterion(name=filters.StateNames(any_=[name])), False


def _origins(client: Client, found: list[FlowRunResponse]) -> dict[UUID, str]:
    """Say of each run what it is a run of: FLOW/DEPLOYMENT, or the flow alone."""
    flows = find.flow_names(client, {run.flow_id for run in found})
    ids = {run.deployment_id for run in found if run.deployment_id}
    names: dict[UUID, str] = {}
    if ids:
        wanted = filters.DeploymentFilter(id=filters.Ids(any_=sorted(ids)))
        of = client.call(endpoints.filter_deployments, queries.DeploymentQuery(deployments=wanted))
        names = {
            deployment.id: f"{flows.get(deployment.flow_id, '?')}/{deployment.name}" for deployment in of
        }
    return {
        run.id: names.get(run.deployment_id or run.id, flows.get(run.flow_id, str(run.flow_id)))
        for run in found
    }


def _facts(run: FlowRunResponse, origin: str, code: str | None) -> list[tuple[str, object]]:
    return [
        ("run", run.name),
        ("id", run.id),
        ("deployment", origin),
        ("code version", code),
        ("state", run.state_name),
        ("message", run.state.message if run.state else None),
        ("pool", run.work_pool_name),
        ("queue", run.work_queue_name),
        ("parameters", run.parameters),
        *_result(run),
        ("tags", ", ".join(run.tags)),
        ("due", show.when(run.expected_start_time)),
        ("started", show.when(run.start_time)),
        ("due → started", show.between(run.expected_start_time, run.start_time)),
        ("ended", show.when(run.end_time)),
        ("ran for", _lasted(run)),
        ("executions", run.run_count),
    ]


def _result(run: FlowRunResponse) -> list[tuple[str, object]]:
    """Say where a persisted result is, and what, if it is JSON on this machine and not long."""
    reference = reference_in(run.state.data) if run.state else None
    if reference is None:
        return []
    facts: list[tuple[str, object]] = [("result", reference.artifact_description or reference.place)]
    if reference.format is ResultFormat.JSON and reference.size <= SHOWN_BYTES:
        with contextlib.suppress(OSError):
            content = Path(reference.place).read_bytes()
            if sha256(content).hexdigest() == reference.sha256:
                facts.append(("value", content.decode(errors="replace")))
    return facts


def _lasted(run: FlowRunResponse) -> str:
    """Say how long a run ran, or has been running."""
    seconds = run.total_run_time or run.estimated_run_time
    return show.took(seconds) if run.start_time else ""


def _show_attempts(attempts: list[Attempt]) -> None:
    if not attempts:
        return
    click.echo()
    rows = [
        (
            attempt.number,
            attempt.state,
            attempt.agent_name or attempt.kind,
            show.when(attempt.opened),
            show.between(attempt.opened, attempt.closed),
            "unreachable" if attempt.unreachable else attempt.cause,
        )
        for attempt in attempts
    ]
    show.table(("attempt", "state", "agent", "opened", "lasted", "cause"), rows, empty="")
    if attempts[-1].output_tail and attempts[-1].cause:
        click.echo(f"\nLast output of attempt {attempts[-1].number}:\n{attempts[-1].output_tail.rstrip()}")


def _show_states(entered: list[State]) -> None:
    click.echo()
    rows = [(show.when(state.timestamp), state.name, state.message) for state in entered]
    show.table(("since", "state", "message"), rows, empty="No states yet.")


def _granted(run: FlowRunResponse, verdict: OrchestrationResult) -> State:
    """Return the state a cancellation led to; ConflictError with the server's reason if it was refused."""
    state = verdict.state
    wanted = {StateType.CANCELLING, StateType.CANCELLED}
    if state is None or state.type not in wanted:
        reason = verdict.details.get("reason") or f"it is {run.state_name}"
        raise ConflictError(f"{run.name} ({run.id}) cannot be cancelled: {reason}")
    return state


def _wait(run: FlowRunResponse) -> int:
    """Wait until a run has ended, saying what holds it; return the exit code."""
    deadline = time.monotonic() + WAIT_SECONDS
    told = ""
    try:
        with connect_for_long() as client:
            for each in news.follow(client, run.id, hold=LOOK_SECONDS):
                state = each.run.state
                if state is not None and state.type.is_final:
                    click.echo(f"{run.name} ({run.id}) is {state.name}.")
                    return 0 if state.type is StateType.CANCELLED else 1
                if each.states or each.logs:
                    continue
                holds = client.call(endpoints.explain_flow_run, id=run.id).summary
                if holds != told:
                    show.notice(holds)
                told = holds
                if time.monotonic() >= deadline:
                    break
    except KeyboardInterrupt:
        show.notice("\nStopped waiting; the cancellation goes on.")
        return 130
    show.notice(f"Still not Cancelled. See: reeve runs explain {run.id}; or end it with --force")
    return 1
