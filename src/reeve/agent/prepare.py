"""Prepare: make of a grant the order to launch it: command, environment, directory."""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import replace

from reeve.client.calls import VERSION
from reeve.core.deployments import Engine
from reeve.core.jobs import JobSpec, resolve
from reeve.drivers.base import OUTPUT_QUOTA, Launch, Lease, Renewal
from reeve.errors import InvalidInputError
from reeve.wire.endpoints import renew_attempts
from reeve.wire.responses import Grant, Infrastructure

ENTRY = "reeve.sdk.entry"
_COMMANDS = {
    Engine.REEVE: [sys.executable, "-m", ENTRY],
    Engine.PREFECT: [sys.executable, "-m", "prefect.engine"],  # A87
}
# Of the agent's own REEVE_ variables a run gets these; the rest are the agent's affair, its key among them.
_KEPT = frozenset({"REEVE_HOME", "REEVE_LOG_LEVEL", "REEVE_RESULTS"})
_SECRETS = frozenset(
    {
        "PREFECT_API_KEY",
        "PREFECT_API_AUTH_STRING",
        "PREFECT_SERVER_API_AUTH_STRING",
        "PREFECT_API_DATABASE_CONNECTION_URL",
        "PREFECT_API_DATABASE_PASSWORD",
    }
)


class Preparation(msgspec.Struct, frozen=True, kw_only=True):
    """What all runs of an agent have in common. Durations in seconds.

    ``environ`` is what they inherit of the agent's own environment, ``directory`` where job files are put,
    ``kinds`` the types of blocks that its driver launches. ``default``: the block for runs that name none
    (A80). ``relay_path``: the agent's local socket.
    """

    api_url: str
    environ: Mapping[str, str]
    directory: Path
    kinds: Collection[str]
    default: Infrastructure | None = None
    margin_seconds: float
    output_quota: int = OUTPUT_QUOTA
    relay_path: Path | None = None


def prepare(grant: Grant, common: Preparation, sent_at: float) -> Launch:
    """Return the order for a granted run; its job file is written. ``sent_at``: see drivers.base.Lease.

    Raises InvalidInputError, naming the job variable at fault, or OSError.
    """
    job = job_spec(grant, common)
    path = job_file(common.directory, grant.attempt_id)
    _write_private(path, msgspec.json.encode(job_description(grant)))
    return Launch(
        attempt=grant.attempt_id,
        job=job,
        env=job.environment(environment(grant, common, path)),
        lease=Lease(
            seconds=grant.lease_seconds,
            sent_at=sent_at,
            on_lost=grant.on_lost.value,
            margin_seconds=common.margin_seconds,
        ),
        # One margin later than the server, which then has said already why the run ends.
        max_seconds=grant.max_run_seconds and grant.max_run_seconds + common.margin_seconds,
        output_quota=common.output_quota,
        module=ENTRY if job.command == _COMMANDS[Engine.REEVE] else None,
        renewal=Renewal(url=common.api_url.rstrip("/") + renew_attempts.path, token=grant.token),
    )


def job_spec(grant: Grant, common: Preparation) -> JobSpec:
    """Resolve the job: a template, over it the deployment's job variables, then the run's (W16)."""
    deployment = grant.deployment.infra_overrides if grant.deployment else {}
    run = grant.run.job_variables or {}
    overrides = {**{key: value for key, value in deployment.items() if key not in run}, **run}
    job = resolve(_template(grant, common), overrides)
    return replace(
        job,
        command=job.command or _COMMANDS[grant.engine],
        name=job.name or grant.run.name,
        labels={**labels(grant), **job.labels},
        working_dir=job.working_dir or _source_directory(grant),
    )


def _template(grant: Grant, common: Preparation) -> Mapping[str, Any]:
    """Return what the job starts from: the block that is named (A81), the agent's own, or the pool's."""
    block = grant.infrastructure or common.default
    if block is None:
        return grant.base_job_template
    if block.type not in common.kinds:
        raise InvalidInputError(
            f"Its infrastructure is a block of the type '{block.type}', and this agent launches "
            f"{', '.join(sorted(common.kinds))}. Name another block, or leave the infrastructure out.",
            field="infrastructure_document_id",
        )
    return block.data


def labels(grant: Grant) -> dict[str, str]:
    """Return what infrastructure is labelled with, before the job's own labels (A86)."""
    run, deployment = grant.run, grant.deployment
    of_deployment = {}
    if deployment is not None:
        of_deployment = {
            "prefect.io/deployment-name": deployment.name,
            "prefect.io/deployment-updated": deployment.updated,
        }
    return {
        "prefect.io/flow-run-id": str(run.id),
        "prefect.io/flow-run-name": run.name,
        "prefect.io/version": VERSION,
        **of_deployment,
        "prefect.io/flow-name": grant.flow_name,
    }


def environment(grant: Grant, common: Preparation, job_path: str) -> dict[str, str]:
    """Return what the run's process finds around it, before the job's own variables (A85, protocol §4)."""
    run_id = str(grant.run.id)
    local = {"REEVE_AGENT_SOCKET": str(common.relay_path)} if common.relay_path else {}
    key = {"REEVE_API_KEY": grant.token, "PREFECT_API_KEY": grant.token} if grant.token else {}
    return {
        **common.environ,
        **key,
        **local,
        "REEVE_API_URL": common.api_url,
        "REEVE_RUN_ID": run_id,
        "REEVE_ATTEMPT": str(grant.attempt_id),
        "REEVE_JOB": job_path,
        "PREFECT_API_URL": common.api_url,
        "PREFECT__FLOW_RUN_ID": run_id,
    }


def job_description(grant: Grant) -> dict[str, Any]:
    """Return what the engine needs to start without asking the server."""
    deployment = grant.deployment
    return {
        "flow_name": grant.flow_name,
        "entrypoint": deployment.entrypoint if deployment else None,
        "path": deployment.path if deployment else None,
        "pull_steps": deployment.pull_steps if deployment else None,
        "parameters": grant.run.parameters,
        "run_name": grant.run.name,
        "deployment_name": deployment.name if deployment else None,
        "attempt_number": grant.attempt_number,
        "tags": grant.run.tags,
    }


def job_file(directory: Path, attempt_id: object) -> str:
    """Return where the job file of an attempt lies, as long as the attempt is held."""
    return f"{directory}/{attempt_id}.json"  # a Path costs 20 times that


def remove_job_file(directory: Path, attempt_id: object) -> None:
    """Remove the job file of an attempt that is over; one that is gone is fine."""
    with suppress(FileNotFoundError):
        os.unlink(job_file(directory, attempt_id))  # noqa: PTH108  # it costs half


def inherited(environ: Mapping[str, str]) -> dict[str, str]:
    """Return what runs inherit of an agent's environment."""
    return {name: text for name, text in environ.items() if _may_inherit(name)}


def _may_inherit(name: str) -> bool:
    return name in _KEPT or not (name.startswith("REEVE_") or name in _SECRETS)


def _source_directory(grant: Grant) -> str | None:
    """Return the deployment's path where it is a directory of this machine; None: a fresh one (A112)."""
    path = grant.deployment.path if grant.deployment else None
    return path if path and os.path.isabs(path) and os.path.isdir(path) else None  # noqa: PTH117, PTH112  # a tenth


def _write_private(path: str, content: bytes) -> None:
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        while content:
            content = content[os.write(file, content) :]
    finally:
        os.close(file)
