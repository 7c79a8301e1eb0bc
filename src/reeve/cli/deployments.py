"""``reeve deployments``: what was deployed."""

from __future__ import annotations

from typing import Any

import click

from reeve.cli import find, show
from reeve.cli.frame import example, json_option
from reeve.cli.session import connect
from reeve.core.crashes import CrashReason
from reeve.core.schedule_policies import Overlap
from reeve.core.time_limits import TimeLimit, in_words
from reeve.wire import codec, endpoints
from reeve.wire.responses import DeploymentOptions, DeploymentResponse, SchedulePolicy


@click.group(epilog=example("reeve deployments show nightly/prod"))
def deployments() -> None:
    """List, show, pause and delete deployments."""


@deployments.command(epilog=example("reeve deployments ls"))
@json_option
def ls(*, as_json: bool) -> None:
    """List deployments."""
    with connect() as client:
        found = client.call(endpoints.filter_deployments)
        names = find.deployment_names(client, found)
    if as_json:
        return show.document(found)
    rows = sorted(
        (
            names[each.id],
            each.work_pool_name,
            each.work_queue_name,
            "; ".join(_rule(schedule.schedule) for schedule in each.schedules),
            "PAUSED" if each.paused else each.status.value,
        )
        for each in found
    )
    columns = ("deployment", "pool", "queue", "schedules", "status")
    return show.table(
        columns, rows, empty="No deployments yet. Make one with: reeve deploy FILE.py:FLOW -n NAME"
    )


@deployments.command("show", epilog=example("reeve deployments show nightly/prod --json"))
@click.argument("deployment", metavar="FLOW/DEPLOYMENT")
@json_option
def show_(*, deployment: str, as_json: bool) -> None:
    """Show one deployment."""
    with connect() as client:
        found = find.deployment(client, deployment)
        options = client.call(endpoints.read_deployment_options, id=found.id)
        policies = client.call(endpoints.read_schedule_policies, id=found.id)
        names = find.deployment_names(client, [found])
    if as_json:
        said = {"deployment": found, "options": options, "schedule_policies": policies}
        return show.document(said)
    return show.facts(_facts(names[found.id], found, options, policies))


@deployments.command(epilog=example("reeve deployments pause nightly/prod"))
@click.argument("deployment", metavar="FLOW/DEPLOYMENT")
def pause(*, deployment: str) -> None:
    """Stop a deployment's schedules; runs can still be asked for."""
    with connect() as client:
        client.call(endpoints.pause_deployment, id=find.deployment(client, deployment).id)
    click.echo(f"The deployment {deployment!r} is paused.")


@deployments.command(epilog=example("reeve deployments resume nightly/prod"))
@click.argument("deployment", metavar="FLOW/DEPLOYMENT")
def resume(*, deployment: str) -> None:
    """Let a paused deployment's schedules go on."""
    with connect() as client:
        client.call(endpoints.resume_deployment, id=find.deployment(client, deployment).id)
    click.echo(f"The deployment {deployment!r} is not paused.")


@deployments.command(epilog=example("reeve deployments delete nightly/prod --yes"))
@click.argument("deployment", metavar="FLOW/DEPLOYMENT")
@click.option("--yes", is_flag=True, help="Do not ask.")
def delete(*, deployment: str, yes: bool) -> None:
    """Delete a deployment and its runs that have not started."""
    with connect() as client:
        found = find.deployment(client, deployment)
        if not yes:
            click.confirm(f"Delete {deployment!r} and its runs that have not started?", abort=True)
        client.call(endpoints.delete_deployment, id=found.id)
    click.echo(f"Deleted the deployment {deployment!r}.")


def _facts(
    name: str, found: DeploymentResponse, options: DeploymentOptions, policies: list[SchedulePolicy]
) -> list[tuple[str, object]]:
    of = {one.schedule_id: _policy(one) for one in policies}
    return [
        ("deployment", name),
        ("id", found.id),
        ("description", found.description),
        ("version", found.version),
        ("code version", options.code_version),
        ("entrypoint", found.entrypoint),
        ("path", found.path),
        ("pool", found.work_pool_name),
        ("queue", found.work_queue_name),
        *(("schedule", _rule(one.schedule) + of.get(one.id, "")) for one in found.schedules),
        ("pull", _json(found.pull_steps)),
        ("paused", "yes" if found.paused else "no"),
        ("parameters", _json(found.parameters)),
        ("tags", ", ".join(found.tags)),
        ("job variables", _json(found.infra_overrides)),
        ("engine", options.engine),
        ("crash retries", _crash_budget(options)),
        ("concurrency limit", options.concurrency_limit),
        ("max run", _limit(options.max_run)),
        ("max pending", _limit(options.max_pending)),
        ("must start by", _limit(options.must_start_by)),
        ("status", found.status),
        ("last polled", show.when(found.last_polled)),
    ]


def _crash_budget(options: DeploymentOptions) -> str:
    said = [str(options.crash_retries)]
    if options.crash_retry_delay:
        said.append(f"after {in_words(options.crash_retry_delay)}")
    if len(options.crash_retry_on) < len(CrashReason):
        said.append(f"on {', '.join(options.crash_retry_on)}")
    return " ".join(said)


def _limit(limit: TimeLimit | None) -> str | None:
    return f"{in_words(limit.seconds)}, then {limit.then}" if limit else None


def _rule(schedule: dict[str, Any]) -> str:
    """Say a schedule in its own terms: one of cron, interval and rrule, and a zone if it has one."""
    zone = f" {schedule['timezone']}" if schedule.get("timezone") else ""
    if "interval" in schedule:
        return f"every {show.took(schedule['interval'])}{zone}"
    rule = str(schedule.get("cron") or schedule.get("rrule"))
    return f"{' '.join(rule.split())}{zone}"


def _policy(policy: SchedulePolicy) -> str:
    """Say what a schedule has beside its rule."""
    said = [
        f"parameters {_json(policy.parameters)}" if policy.parameters else "",
        f"catch-up {policy.catchup}" if policy.catchup else "",
        f"at most {in_words(policy.max_late)} late" if policy.max_late else "",
        f"overlap {policy.overlap}" if policy.overlap is not Overlap.ALLOW else "",
    ]
    return "".join(f", {one}" for one in said if one)


def _json(value: object) -> str:
    return codec.encode(value).decode() if value else ""
