"""``reeve deploy``: a flow with how, where and when to run it; or what ``reeve.yaml`` says."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from reeve.cli import show
from reeve.cli.frame import example, help_all, json_option, rare
from reeve.cli.secrets import read_parameters
from reeve.cli.session import connect
from reeve.cli.values import DURATION, INSTANT, LIMIT, PAIR, TIME_LIMIT, job_variables
from reeve.core.crashes import CrashReason
from reeve.core.schedule_policies import Catchup, Overlap, SchedulePolicy
from reeve.core.time_limits import TimeLimit, TimeLimits
from reeve.errors import InvalidInputError, ReeveError
from reeve.sdk.deploy import (
    DEFAULT_POOL,
    DEFAULT_QUEUE,
    Change,
    DeploymentSpec,
    ScheduleSpec,
    compare,
    place,
)
from reeve.sdk.deploy import deploy as deploy_spec
from reeve.wire import codec

Pairs = tuple[tuple[str, str], ...]


@click.command(
    epilog=example('reeve deploy flows.py:nightly -n prod --cron "0 3 * * *"', "reeve deploy --all --dry-run")
)
@click.argument("entrypoint", metavar="[FILE.py:FLOW]", required=False)
@click.option("-n", "--name", help="Name of the deployment.")
@click.option("--all", "everything", is_flag=True, help="All deployments of reeve.yaml.")
@click.option("--dry-run", is_flag=True, help="Say what would change, and change nothing.")
@rare("--file", type=click.Path(path_type=Path), help="Another file than reeve.yaml.")
@click.option("-p", "--pool", help=f"Work pool. Default: {DEFAULT_POOL}")
@click.option("-q", "--queue", help=f"Work queue. Default: {DEFAULT_QUEUE}")
@click.option("--cron", multiple=True, help='Run by the clock: "MIN HOUR DAY MONTH WEEKDAY".')
@click.option("--interval", type=DURATION, multiple=True, help="Run every 30s, 5m, 1h, 1d.")
@rare("--rrule", multiple=True, help="Run by a rule of RFC 5545.")
@click.option("--timezone", metavar="ZONE", help="Whose clock the schedules follow. Default: UTC")
@rare("--anchor", type=INSTANT, help="What intervals are counted from.")
@rare(
    "--catchup",
    type=click.Choice([each.value for each in Catchup]),
    help="Which missed dates run later. Default: as in 2.20",
)
@rare("--max-late", type=DURATION, help="How late a scheduled run may start, or else it is skipped.")
@rare(
    "--overlap",
    type=click.Choice([each.value for each in Overlap]),
    help="When the run before has not ended. Default: allow",
)
@click.option("-P", "--param", "params", type=PAIR, multiple=True, help="Default of a parameter.")
@rare("--tag", "tags", multiple=True, help="Tag of its runs; repeatable.")
@rare("--description", help="What it is for.")
@rare("--version", help="Version of the code.")
@click.option("--crash-retries", type=click.IntRange(min=0), metavar="N", help="Restarts after a crash.")
@rare("--crash-retry-delay", type=DURATION, metavar="DURATION", help="Wait before each of them.")
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
def deploy(
    *, entrypoint: str | None, name: str | None, everything: bool, dry_run: bool, as_json: bool, **given: Any
) -> None:
    """Say how, where and when a flow runs; without FILE.py:FLOW by reeve.yaml."""
    if entrypoint is None:
        specs = _of_file(name, everything, given)
    else:
        specs = [_of_options(entrypoint, name, everything, given)]
    with connect() as client:
        if dry_run:
            return _show_changes([(spec, compare(client, spec)) for spec in specs], as_json=as_json)
        done = []
        for spec in specs:
            try:
                made, change = deploy_spec(client, spec)
            except InvalidInputError as error:
                raise (_name_option(error) if entrypoint else _name_deployment(error, spec)) from None
            done.append((made, change))
            if not as_json:
                _show_made(spec, change)
    if as_json:
        return show.document(done[0][0] if entrypoint else [made for made, _ in done])
    if len(specs) == 1:
        click.echo(f"Run it with: reeve run {specs[0].full_name} --watch")
    return None


def _of_file(name: str | None, everything: bool, given: dict[str, Any]) -> list[DeploymentSpec]:
    """Return the deployments that are meant of those in ``reeve.yaml``."""
    from reeve.sdk.load import load_flow
    from reeve.sdk.manifest import FILE_NAME, Manifest

    file: Path = given.pop("file") or Path(FILE_NAME)
    refused = [option for option, value in given.items() if value not in (None, False, ())]
    if refused:
        option = "--param" if refused[0] == "params" else f"--{refused[0].rstrip('s').replace('_', '-')}"
        raise InvalidInputError(
            f"{option} goes with FILE.py:FLOW. What {file.name} deploys is said there", field=refused[0]
        )
    manifest = Manifest.of_file(file.absolute(), os.environ, load_flow)
    if name is None and not everything and len(manifest.names) > 1:
        there = ", ".join(manifest.names)
        raise InvalidInputError(
            f"{file.name} has {len(manifest.names)} deployments: {there}. Say -n NAME or --all", field="name"
        )
    if name is not None and everything:
        raise InvalidInputError("Give -n NAME or --all, not both", field="name")
    return manifest.specs(name)


def _of_options(entrypoint: str, name: str | None, everything: bool, given: dict[str, Any]) -> DeploymentSpec:
    """Return the deployment that the options describe."""
    if everything or given["file"]:
        raise InvalidInputError("--all and --file are for reeve.yaml, without FILE.py:FLOW", field="all")
    if name is None:
        raise InvalidInputError("A deployment needs a name. Give it with: -n NAME", field="name")
    from reeve.sdk.load import load_flow

    schedules = _schedules(given)
    limits = _limits(given["max_run"], given["max_pending"], given["must_start_by"])
    root, inside = place(entrypoint, Path.cwd())
    flow = load_flow(inside, root)
    return DeploymentSpec(
        name=name,
        flow=flow,
        entrypoint=inside,
        path=root,
        pool=given["pool"] or DEFAULT_POOL,
        queue=given["queue"] or DEFAULT_QUEUE,
        schedules=schedules,
        parameters=read_parameters(flow.parameter_schema(), given["params"]),
        tags=list(given["tags"]),
        description=given["description"],
        version=given["version"],
        paused=given["paused"],
        job_variables=job_variables(given["job"]),
        limits=limits,
        crash_retries=given["crash_retries"] or 0,
        crash_retry_delay=given["crash_retry_delay"] or 0.0,
        crash_retry_on=[CrashReason(reason) for reason in given["crash_retry_on"] or CrashReason],
        concurrency_limit=given["concurrency_limit"],
    )


def _limits(
    max_run: TimeLimit | None, max_pending: TimeLimit | None, must_start_by: TimeLimit | None
) -> TimeLimits:
    return TimeLimits(max_pending=max_pending, max_run=max_run, must_start_by=must_start_by)


def _schedules(given: dict[str, Any]) -> list[ScheduleSpec]:
    """Return the schedules as 2.20 writes them (api-contract §5.1); the server judges what they say."""
    rules = _rules(given["cron"], given["interval"], given["rrule"], given["timezone"], given["anchor"])
    policy = SchedulePolicy(
        catchup=Catchup(given["catchup"]) if given["catchup"] else None,
        max_late=given["max_late"],
        overlap=Overlap(given["overlap"] or Overlap.ALLOW),
    )
    if not rules and not policy.is_plain:
        raise InvalidInputError(
            "--catchup, --max-late and --overlap need a --cron, --interval or --rrule", field="catchup"
        )
    return [ScheduleSpec(rule=rule, policy=policy) for rule in rules]


def _rules(
    cron: tuple[str, ...],
    interval: tuple[float, ...],
    rrule: tuple[str, ...],
    timezone: str | None,
    anchor: datetime | None,
) -> list[dict[str, Any]]:
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


# --- what is said


def _show_made(spec: DeploymentSpec, change: Change) -> None:
    if change.is_none:
        click.echo(f"{spec.full_name} is unchanged.")
        return
    click.echo(f"Deployed {spec.full_name} to the queue {spec.queue!r} of the pool {spec.pool!r}.")


def _show_changes(changes: Sequence[tuple[DeploymentSpec, Change]], *, as_json: bool) -> None:
    if as_json:
        show.document(
            [
                {
                    "deployment": spec.full_name,
                    "change": _verb(change),
                    "fields": {name: {"from": old, "to": new} for name, (old, new) in change.fields.items()},
                }
                for spec, change in changes
            ]
        )
        return
    for spec, change in changes:
        click.echo(f"{spec.full_name}: {_verb(change)}")
        for name, (old, new) in change.fields.items():
            click.echo(f"  {name.replace('_', ' ')}: {_short(old)} → {_short(new)}")
    click.echo("Nothing was changed: this was a dry run.")


def _verb(change: Change) -> str:
    if change.new:
        return "would be created"
    return "unchanged" if change.is_none else "would be changed"


def _short(value: Any) -> str:
    text = "none" if value is None else value if isinstance(value, str) else codec.encode(value).decode()
    return text if len(text) <= 100 else f"{text[:100]}…"


_OPTIONS = {
    *("cron", "interval", "rrule", "timezone", "max-run", "max-pending", "must-start-by", "max-late"),
    *("concurrency-limit", "crash-retry-delay"),
}


def _name_option(error: InvalidInputError) -> ReeveError:
    """Say which option was refused: the server's fields are called as these."""
    option = (error.field or "").rpartition(".")[2].replace("_", "-")
    if option in _OPTIONS:
        said = error.message.partition(f"{error.field}: ")[2] or error.message
        return InvalidInputError(f"--{option}: {said}", field=option)
    return error


def _name_deployment(error: InvalidInputError, spec: DeploymentSpec) -> ReeveError:
    """Say whose field was refused."""
    return InvalidInputError(f"{spec.full_name}: {error.message}", field=error.field)
