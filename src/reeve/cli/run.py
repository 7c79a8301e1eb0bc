"""``reeve run``: ask for a run of a deployment, and watch it."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import click

from reeve.cli import find, news, show
from reeve.cli.frame import example, json_option
from reeve.cli.secrets import given_parameters
from reeve.cli.session import connect, connect_for_long
from reeve.cli.values import DURATION, INSTANT, PAIR
from reeve.core.states import StateDetails, StateType
from reeve.errors import InvalidInputError
from reeve.wire import endpoints, requests
from reeve.wire.responses import FlowRunResponse, Followed

INTERRUPTED = 130  # as a shell reports SIGINT


@click.command(epilog=example("reeve run nightly/prod -P day=2026-01-31 --watch"))
@click.argument("deployment", metavar="FLOW/DEPLOYMENT")
@click.option(
    "-P",
    "--param",
    "params",
    type=PAIR,
    multiple=True,
    help="A parameter; JSON or text. Of a secret one @FILE, or @- for the standard input.",
)
@click.option("--at", type=INSTANT, help="When it is due. Default: now")
@click.option("--in", "in_", type=DURATION, help="How long from now it is due: 30s, 5m, 1h.")
@click.option("--name", help="Name of the run. Default: the server makes one up")
@click.option("--tag", "tags", multiple=True, help="Tag of the run; repeatable.")
@click.option("--idempotency-key", metavar="KEY", help="The same key again gives the same run.")
@click.option("--watch", is_flag=True, help="Show states and logs; exit 0 if Completed, else 1.")
@json_option
def run(
    *,
    deployment: str,
    params: tuple[tuple[str, str], ...],
    at: datetime | None,
    in_: float | None,
    name: str | None,
    tags: tuple[str, ...],
    idempotency_key: str | None,
    watch: bool,
    as_json: bool,
) -> None:
    """Ask for a run of a deployment, and watch it."""
    state = _scheduled(_due(at, in_))
    with connect() as client:
        target = find.deployment(client, deployment)
        body = requests.DeploymentFlowRunCreate(
            state=state,
            name=name,
            parameters=given_parameters(target, params),
            tags=list(tags),
            # One key for all repetitions of the request: an answer lost on the way doubles nothing.
            idempotency_key=idempotency_key or str(uuid4()),
        )
        asked_for = client.call(endpoints.create_run_of_deployment, body, id=target.id)
    if watch:
        sys.exit(_watch(asked_for, as_json=as_json))
    elif as_json:
        show.document(asked_for)
    else:
        click.echo(
            f"Run {asked_for.name} ({asked_for.id}) is due {show.when(asked_for.expected_start_time)}."
        )
        click.echo(f"Follow it with: reeve runs logs -f {asked_for.id}")


def _due(at: datetime | None, in_: float | None) -> datetime | None:
    if at is not None and in_ is not None:
        raise InvalidInputError("--at and --in both say when the run is due. Give one of them", field="at")
    return datetime.now(UTC) + timedelta(seconds=in_) if in_ is not None else at


def _scheduled(due: datetime | None) -> requests.StateCreate | None:
    if due is None:
        return None
    details = StateDetails(scheduled_time=due)
    return requests.StateCreate(type=StateType.SCHEDULED, state_details=details)


def _watch(run: FlowRunResponse, *, as_json: bool) -> int:
    """Show a run until it has ended; return the exit code."""
    if not as_json:
        click.echo(f"Run {run.name} ({run.id})")
    try:
        with connect_for_long() as client:
            speakers = news.Speakers(client, run.id)
            for each in news.follow(client, run.id):
                if as_json:
                    _print_lines(each)
                else:
                    speakers.hear(each.logs)
                    show.news(each, speakers.whose)
                run = each.run
    except KeyboardInterrupt:
        show.notice(f"\nStopped watching; the run goes on. Cancel it with: reeve runs cancel {run.id}")
        return INTERRUPTED
    return 0 if run.state_type is StateType.COMPLETED else 1


def _print_lines(each: Followed) -> None:
    """Print news as lines of JSON: one object of one key each, the run itself last."""
    for state in each.states:
        show.line({"state": state})
    for log in each.logs:
        show.line({"log": log})
    if each.final and not each.logs:
        show.line({"run": each.run})
