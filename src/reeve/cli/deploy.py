"""``reeve deploy``: a flow with how, where and when to run it."""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from reeve.cli import find, show
from reeve.cli.frame import example, help_all, json_option, rare
from reeve.cli.session import connect
from reeve.cli.values import DURATION, INSTANT, LIMIT, PAIR, TIME_LIMIT, job_variables, parameters
from reeve.client.sync import Client
from reeve.core.crashes import CrashReason
from reeve.core.deployments import Engine
from reeve.core.time_limits import TimeLimit, TimeLimits, check_limits
from reeve.errors import InvalidInputError, NotFoundError
from reeve.wire import codec, endpoints, requests
from reeve.wire.responses import DeploymentResponse

Pairs = tuple[tuple[str, str], ...]


@click.command(epilog=example('reeve deploy flows.py:nightly -n prod --cron "0 3 * * *"'))
@click.argument("entrypoint", metavar="FILE.py:FLOW")
@click.option("-n", "--name", required=True, help="Name of the deployment.")
@click.option("-p", "--pool", default=find.DEFAULT_POOL, show_default=True, help="Work pool.")
@click.option("-q", "--queue", default="default", show_default=True, help="Work queue.")
@click.option("--cron", multiple=True, help='Run by the clock: "MIN HOUR DAY MONTH WEEKDAY".')
@click.option("--interval", type=DURATION, multiple=True, help="Run every 30s, 5m, 1h, 1d.")
@rare("--rrule", multiple=True, help="Run by a rule of RFC 5545.")
@click.option("--timezone", metavar="ZONE", help="Whose clock the schedules follow. Default: UTC")
@rare("--anchor", type=INSTANT, help="What intervals are counted from.")
@click.option("-P", "--param", "params", type=PAIR, multiple=True, help="Default of a parameter.")
@click.option("--tag", "tags", multiple=True, help="Tag of its runs; repeatable.")
@rare("--description", help="What it is for.")
@click.option("--version", help="Version of the code.")
@click.option(
    "--crash-retries", type=click.IntRange(min=0), default=0, metavar="N", help="Restarts after a crash."
)
@rare("--crash-retry-delay", type=DURATION, default=0.0, metavar="DURATION", help="Wait before each of them.")
@rare(
    "--crash-retry-on",
    type=click.Choice([reason.value for reason in CrashReason]),
    multiple=True,
    help="Only after crashes of this kind; repeatable.",
)
@click.option(
    "--max-run",
    type=TIME_LIMIT,
    metavar="DURATION[:THEN]",
    help="Limit of an attempt: 1h, or 1h:cancel, 1h:retry.",
)
@rare("--max-pending", type=TIME_LIMIT, help="How long it may take from claim to Running.")
@rare("--must-start-by", type=TIME_LIMIT, help="How long after it is due a run may still start.")
@rare("--concurrency-limit", type=LIMIT, metavar="N", help="How many of its runs may be at work.")
@click.option("--job", type=PAIR, multiple=True, help="Job variable: env.TZ=UTC, grace_seconds=5.")
@click.option("--paused", is_flag=True, help="Start no run by schedule yet.")
@json_option
@help_all
def deploy(  # noqa: PLR0913  # one per option
    *,
    entrypoint: str,
    name: str,
    pool: str,
    queue: str,
    cron: tuple[str, ...],
    interval: tuple[float, ...],
    rrule: tuple[str, ...],
    timezone: str | None,
    anchor: datetime | None,
    params: Pairs,
    tags: tuple[str, ...],
    description: str | None,
    version: str | None,
    crash_retries: int,
    crash_retry_delay: float,
    crash_retry_on: tuple[str, ...],
    max_run: TimeLimit | None,
    max_pending: TimeLimit | None,
    must_start_by: TimeLimit | None,
    concurrency_limit: int | None,
    job: Pairs,
    paused: bool,
    as_json: bool,
) -> None:
    """Say how, where and when a flow runs. Repeat it to change that."""
    schedules = _schedules(cron, interval, rrule, timezone, anchor)
    limits = TimeLimits(max_pending=max_pending, max_run=max_run, must_start_by=must_start_by)
    try:
        check_limits(limits, crash_retries)  # the server would, with the deployment half made
    except InvalidInputError as error:
        raise _name_option(error) from None
    path, inside = _place(entrypoint)
    from reeve.sdk.load import load_flow

    flow = load_flow(inside, path)
    options = requests.DeploymentOptions(
        engine=Engine.REEVE,
        crash_retries=crash_retries,
        crash_retry_delay=crash_retry_delay,
        crash_retry_on=[CrashReason(reason) for reason in crash_retry_on or CrashReason],
        max_pending=max_pending,
        max_run=max_run,
        must_start_by=must_start_by,
        concurrency_limit=concurrency_limit,
        code_version=version,
    )
    with connect() as client:
        body = requests.DeploymentCreate(
            name=name,
            flow_id=client.call(endpoints.create_flow, requests.FlowCreate(name=flow.name)).id,
            path=str(path),
            entrypoint=inside,
            parameters=parameters(params),
            parameter_openapi_schema=flow.parameter_schema(),
            enforce_parameter_schema=True,
            schedules=[requests.ScheduleCreate(schedule=schedule) for schedule in schedules],
            paused=paused,
            work_pool_name=pool,
            work_queue_name=queue,
            job_variables=job_variables(job),
            tags=list(tags),
            description=description or flow.description,
            version=version,
        )
        made = _post(client, flow.name, body, options)
    if as_json:
        return show.document(made)
    click.echo(f"Deployed {flow.name}/{name} to the queue {queue!r} of the pool {pool!r}.")
    return click.echo(f"Run it with: reeve run {flow.name}/{name} --watch")


def _schedules(
    cron: tuple[str, ...],
    interval: tuple[float, ...],
    rrule: tuple[str, ...],
    timezone: str | None,
    anchor: datetime | None,
) -> list[dict[str, Any]]:
    """Return the schedules as 2.20 writes them (api-contract §5.1); the server judges what they say."""
    if timezone is not None and not (cron or interval or rrule):
        raise InvalidInputError(
            "--timezone needs a --cron, --interval or --rrule to follow it", field="timezone"
        )
    if anchor is not None and not interval:
        raise InvalidInputError("--anchor needs an --interval to count from it", field="anchor")
    zone = {"timezone": timezone} if timezone is not None else {}
    counted_from = {"anchor_date": codec.iso(anchor)} if anchor is not None else {}
    return [
        *({"cron": text, **zone} for text in cron),
        *({"interval": seconds, **counted_from, **zone} for seconds in interval),
        *({"rrule": text, **zone} for text in rrule),
    ]


def _place(entrypoint: str) -> tuple[Path, str]:
    """Return where the code lies and the entrypoint within: this directory, if the file is below it."""
    code, colon, word = entrypoint.rpartition(":")
    if not (colon and code and word):
        message = f"{entrypoint!r} does not say which function of which file. Write FILE.py:FLOW"
        raise InvalidInputError(message, field="entrypoint")
    here = Path.cwd()
    if not (code.endswith(".py") or os.sep in code):
        return here, entrypoint  # a module
    file = Path(code).expanduser().absolute()
    path = here if file.is_relative_to(here) else file.parent
    return path, f"{file.relative_to(path)}:{word}"


def _post(
    client: Client,
    flow_name: str,
    body: requests.DeploymentCreate,
    options: requests.DeploymentOptions,
) -> DeploymentResponse:
    """Create or update the deployment.

    A new one starts its schedules only when its options are there: before, its runs would be taken for
    a 2.20 client's (core.deployments.DeploymentOptions).
    """
    paused = bool(body.paused)
    if not _exists(client, flow_name, body.name):
        body.paused = True
    if body.work_pool_name == find.DEFAULT_POOL:
        find.make_default_pool(client, find.DEFAULT_POOL)
    try:
        made = client.call(endpoints.create_deployment, body)
    except NotFoundError:
        find.no_pool(client, str(body.work_pool_name))
    except InvalidInputError as error:
        raise _name_option(error) from None
    try:
        client.call(endpoints.set_deployment_options, options, id=made.id)
    except InvalidInputError as error:
        raise _name_option(error) from None
    if made.paused and not paused:
        client.call(endpoints.resume_deployment, id=made.id)
    return client.call(endpoints.read_deployment, id=made.id)


def _exists(client: Client, flow_name: str, name: str) -> bool:
    try:
        client.call(endpoints.read_deployment_by_name, flow_name=flow_name, deployment_name=name)
    except NotFoundError:
        return False
    return True


_OPTIONS = {
    *("cron", "interval", "rrule", "timezone", "max-run", "max-pending", "must-start-by"),
    *("concurrency-limit", "crash-retry-delay"),
}


def _name_option(error: InvalidInputError) -> InvalidInputError:
    """Say which option the server refused: its fields are called as these."""
    option = (error.field or "").rpartition(".")[2].replace("_", "-")
    if option in _OPTIONS:
        said = error.message.partition(f"{error.field}: ")[2] or error.message
        return InvalidInputError(f"--{option}: {said}", field=option)
    return error
