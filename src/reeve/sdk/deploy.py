"""Deploying: what a deployment should be, what it is, and making the one of the other.

The command line, ``reeve.yaml``, ``flow.deploy`` and ``flow.serve`` all come here.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn, Protocol
from uuid import UUID

import msgspec

from reeve.client.sync import Client
from reeve.core.crashes import CrashReason
from reeve.core.deployments import Engine
from reeve.core.schedule_policies import PLAIN, SchedulePolicy
from reeve.core.schedules import IntervalSchedule, schedule_from_json
from reeve.core.sealing import HIDDEN, is_hidden, secret_names
from reeve.core.time_limits import TimeLimits, check_limits
from reeve.errors import ConflictError, InvalidInputError, NotFoundError
from reeve.sdk.code import code_version
from reeve.sdk.secret import revealed
from reeve.wire import codec, endpoints, requests
from reeve.wire.responses import DeploymentOptions, DeploymentResponse, DeploymentSchedule
from reeve.wire.responses import SchedulePolicy as PolicyResponse

DEFAULT_POOL = "default"  # what ``reeve up`` serves and a deployment goes to
DEFAULT_QUEUE = "default"
POOL_TYPE = "process"
GIVEN_ANEW = f"{HIDDEN} (given anew)"
_DEFAULTS = {"overlap": PLAIN.overlap, "day_or": True}


class Deployable(Protocol):
    """What deploying needs to know of a flow; ``flows.Flow`` is one, and comes here itself."""

    name: str
    version: str | None
    fn: Callable[..., Any]

    @property
    def description(self) -> str | None:
        """What it is for, in its author's words."""
        ...

    def parameter_schema(self) -> dict[str, Any]:
        """Return the parameters as JSON Schema."""
        ...


@dataclass(kw_only=True)
class ScheduleSpec:
    """A schedule as 2.20 writes it (api-contract §5.1), and what reeve adds."""

    rule: dict[str, Any]
    active: bool = True
    policy: SchedulePolicy = PLAIN


@dataclass(kw_only=True)
class DeploymentSpec:
    """What a deployment should be. ``path``: where the entrypoint is found, unless the code is pulled."""

    name: str
    flow: Deployable
    entrypoint: str
    path: Path
    pool: str = DEFAULT_POOL
    queue: str = DEFAULT_QUEUE
    schedules: list[ScheduleSpec] = field(default_factory=list)
    parameters: dict[str, Any] = field(default_factory=dict)
    tags: list[str] = field(default_factory=list)
    description: str | None = None
    version: str | None = None
    paused: bool = False
    job_variables: dict[str, Any] = field(default_factory=dict)
    pull_steps: list[dict[str, Any]] | None = None
    limits: TimeLimits = field(default_factory=TimeLimits)
    crash_retries: int = 0
    crash_retry_delay: float = 0.0
    crash_retry_on: list[CrashReason] = field(default_factory=lambda: list(CrashReason))
    concurrency_limit: int | None = None
    engine: Engine = Engine.REEVE

    @property
    def full_name(self) -> str:
        """FLOW/DEPLOYMENT, as the command line calls it."""
        return f"{self.flow.name}/{self.name}"

    def code_version(self) -> str | None:
        """Return which code it is. Code that is pulled is known when it was, unless its commit is named."""
        if not self.pull_steps:
            file = Path(sys.modules[self.flow.fn.__module__].__file__ or self.path)
            return code_version(file, self.path)
        commits = [step.get("commit") for one in self.pull_steps for step in one.values()]
        return next((commit for commit in commits if commit), None)


@dataclass(frozen=True)
class Change:
    """What is to be changed: of each field what it was and what it will be; ``new``: there is none yet."""

    new: bool = False
    fields: dict[str, tuple[Any, Any]] = field(default_factory=dict)

    @property
    def is_none(self) -> bool:
        """Whether everything is as it should be."""
        return not self.new and not self.fields


@dataclass(frozen=True)
class Found:
    """A deployment as the server has it."""

    deployment: DeploymentResponse
    options: DeploymentOptions
    policies: dict[UUID, PolicyResponse]


def compare(client: Client, spec: DeploymentSpec) -> Change:
    """Say what deploying would change; raises InvalidInputError for what cannot be."""
    return _compare(_find(client, spec), spec)


def deploy(client: Client, spec: DeploymentSpec) -> tuple[DeploymentResponse, Change]:
    """Make a deployment what it should be, and say what was changed for that.

    Nothing is written where nothing changes: to write deletes the runs that wait. Raises InvalidInputError,
    which names the field, and NotFoundError for a pool.
    """
    found = _find(client, spec)
    change = _compare(found, spec)
    if found is not None and change.is_none:
        return found.deployment, change
    return _write(client, spec, found, change), change


def _find(client: Client, spec: DeploymentSpec) -> Found | None:
    check_limits(spec.limits, spec.crash_retries)  # the server would, with the deployment half made
    try:
        deployment = client.call(
            endpoints.read_deployment_by_name, flow_name=spec.flow.name, deployment_name=spec.name
        )
    except NotFoundError:
        return None
    policies = client.call(endpoints.read_schedule_policies, id=deployment.id)
    return Found(
        deployment=deployment,
        options=client.call(endpoints.read_deployment_options, id=deployment.id),
        policies={one.schedule_id: one for one in policies},
    )


def _compare(found: Found | None, spec: DeploymentSpec) -> Change:
    if found is None:
        return Change(new=True)
    wanted, there = _wanted(spec), _there(found)
    differing = {name: (there[name], wanted[name]) for name in wanted if there[name] != wanted[name]}
    if len(spec.schedules) == len(found.deployment.schedules) and "schedules" in differing:
        pairs = zip(there["schedules"], wanted["schedules"], spec.schedules, strict=True)
        if all(_alike(old, new, one) for old, new, one in pairs):
            del differing["schedules"]
    return Change(fields=differing)


def _wanted(spec: DeploymentSpec) -> dict[str, Any]:
    """Return all that can differ, by the names that people know, as plain values."""
    values = {
        **_plain_fields(spec),
        "parameters": _told(spec, spec.parameters),
        "schedules": [
            _schedule(one.rule, one.active, _told_policy(spec, one.policy)) for one in spec.schedules
        ],
        **msgspec.structs.asdict(_options(spec)),
    }
    plain: dict[str, Any] = msgspec.to_builtins(values)
    return plain


def _told(spec: DeploymentSpec, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return parameters without what is secret: nobody knows whether it differs, so it is given anew."""
    secret = secret_names(spec.flow.parameter_schema())
    return {
        name: GIVEN_ANEW if name in secret and value is not None and not is_hidden(value) else value
        for name, value in parameters.items()
    }


def _told_policy(spec: DeploymentSpec, policy: SchedulePolicy) -> SchedulePolicy:
    return msgspec.structs.replace(policy, parameters=_told(spec, policy.parameters))


def _plain_fields(spec: DeploymentSpec) -> dict[str, Any]:
    return {
        "entrypoint": spec.entrypoint,
        "path": None if spec.pull_steps else str(spec.path),
        "pull_steps": spec.pull_steps,
        "pool": spec.pool,
        "queue": spec.queue,
        "parameters": spec.parameters,
        "parameter_schema": spec.flow.parameter_schema(),
        "tags": spec.tags,
        "description": spec.description or spec.flow.description,
        "version": spec.version,
        "paused": spec.paused,
        "job_variables": spec.job_variables,
    }


def _there(found: Found) -> dict[str, Any]:
    one = found.deployment
    values = {
        "entrypoint": one.entrypoint,
        "path": one.path,
        "pull_steps": one.pull_steps,
        "pool": one.work_pool_name,
        "queue": one.work_queue_name,
        "parameters": one.parameters,
        "parameter_schema": one.parameter_openapi_schema,
        "tags": one.tags,
        "description": one.description,
        "version": one.version,
        "paused": one.paused,
        "job_variables": one.infra_overrides,
        "schedules": [
            _schedule(each.schedule, each.active, _policy(found.policies[each.id])) for each in _in_order(one)
        ],
        **msgspec.structs.asdict(found.options),
    }
    plain: dict[str, Any] = msgspec.to_builtins(values)
    plain["crash_retry_on"] = sorted(plain["crash_retry_on"])
    return plain


def _in_order(deployment: DeploymentResponse) -> list[DeploymentSchedule]:
    """Return the schedules as they were sent: each is a microsecond younger than the one before."""
    return sorted(deployment.schedules, key=lambda one: codec.parse(one.updated))


def _policy(one: PolicyResponse) -> SchedulePolicy:
    return SchedulePolicy(
        parameters=one.parameters, catchup=one.catchup, max_late=one.max_late, overlap=one.overlap
    )


def _schedule(rule: dict[str, Any], active: bool, policy: SchedulePolicy) -> dict[str, Any]:
    said = msgspec.structs.asdict(schedule_from_json(rule)) | msgspec.structs.asdict(policy)
    unlike = {name: value for name, value in said.items() if value not in (None, {}, _DEFAULTS.get(name))}
    return unlike if active else {**unlike, "active": False}


def _alike(old: dict[str, Any], new: dict[str, Any], spec: ScheduleSpec) -> bool:
    """Whether a schedule is what it should be: an interval that names no anchor and zone is given them."""
    if isinstance(schedule_from_json(spec.rule), IntervalSchedule):
        new = {**{name: old[name] for name in ("anchor_date", "timezone") if name in old}, **new}
    return old == new


def _options(spec: DeploymentSpec) -> requests.DeploymentOptions:
    return requests.DeploymentOptions(
        engine=spec.engine,
        crash_retries=spec.crash_retries,
        crash_retry_delay=spec.crash_retry_delay,
        crash_retry_on=sorted(spec.crash_retry_on),
        max_pending=spec.limits.max_pending,
        max_run=spec.limits.max_run,
        must_start_by=spec.limits.must_start_by,
        concurrency_limit=spec.concurrency_limit,
        code_version=spec.code_version(),
    )


# --- writing


def _write(client: Client, spec: DeploymentSpec, found: Found | None, change: Change) -> DeploymentResponse:
    """Write what differs.

    Schedules start only when options and policies are there: before, their runs would be taken for a 2.20
    client's (core.deployments.DeploymentOptions), or would overlap.
    """
    of_options = set(requests.DeploymentOptions.__struct_fields__)
    if found is None or change.fields.keys() - of_options:
        unready = found is None or "schedules" in change.fields
        made = _upsert(client, spec, _rules(spec, found), paused=spec.paused or unready)
    else:
        made = found.deployment
    if found is None or change.fields.keys() & of_options:
        client.call(endpoints.set_deployment_options, _options(spec), id=made.id)
    if found is None or "schedules" in change.fields:
        client.call(endpoints.set_schedule_policies, _policies(spec, made), id=made.id)
    if made.paused and not spec.paused:
        client.call(endpoints.resume_deployment, id=made.id)
    return client.call(endpoints.read_deployment, id=made.id)


def _policies(spec: DeploymentSpec, made: DeploymentResponse) -> list[requests.SchedulePolicy]:
    return [
        requests.SchedulePolicy(
            schedule_id=there.id,
            parameters=msgspec.to_builtins(wanted.policy.parameters, enc_hook=revealed),
            catchup=wanted.policy.catchup,
            max_late=wanted.policy.max_late,
            overlap=wanted.policy.overlap,
        )
        for there, wanted in zip(_in_order(made), spec.schedules, strict=True)
    ]


def _rules(spec: DeploymentSpec, found: Found | None) -> list[dict[str, Any]]:
    """Return the rules to send: an interval that names no anchor goes on from the one that it was given."""
    there = [one.schedule for one in _in_order(found.deployment)] if found else []
    return [
        {**one.rule, "anchor_date": there[place]["anchor_date"]}
        if place < len(there)
        and "anchor_date" not in one.rule
        and one.rule.get("interval", 0) == there[place].get("interval")
        else one.rule
        for place, one in enumerate(spec.schedules)
    ]


def _upsert(
    client: Client, spec: DeploymentSpec, rules: list[dict[str, Any]], *, paused: bool
) -> DeploymentResponse:
    if spec.pool == DEFAULT_POOL:
        make_pool(client, DEFAULT_POOL)
    plain = _plain_fields(spec)
    body = requests.DeploymentCreate(
        name=spec.name,
        flow_id=client.call(endpoints.create_flow, requests.FlowCreate(name=spec.flow.name)).id,
        path=plain["path"],
        entrypoint=spec.entrypoint,
        pull_steps=spec.pull_steps,
        parameters=msgspec.to_builtins(spec.parameters, enc_hook=revealed),
        parameter_openapi_schema=plain["parameter_schema"],
        enforce_parameter_schema=True,
        schedules=[
            requests.ScheduleCreate(schedule=rule, active=one.active)
            for rule, one in zip(rules, spec.schedules, strict=True)
        ],
        paused=paused,
        work_pool_name=spec.pool,
        work_queue_name=spec.queue,
        job_variables=spec.job_variables,
        tags=spec.tags,
        description=plain["description"],
        version=spec.version,
    )
    try:
        return client.call(endpoints.create_deployment, body)
    except NotFoundError:
        no_pool(client, spec.pool)


def make_pool(client: Client, name: str) -> None:
    """Make sure that a pool of this name exists; the server gives it a queue ``default``."""
    try:
        client.call(endpoints.read_work_pool, name=name)
    except NotFoundError:
        try:
            client.call(endpoints.create_work_pool, requests.WorkPoolCreate(name=name, type=POOL_TYPE))
        except ConflictError:
            return  # somebody made it in between


def no_pool(client: Client, name: str) -> NoReturn:
    """Say that there is no such pool, which there are, and how to make one."""
    there = sorted(pool.name for pool in client.call(endpoints.filter_work_pools))
    known = f"There are: {', '.join(there)}" if there else "There are none yet"
    raise NotFoundError(f"There is no work pool {name!r}. {known}. Make it with: reeve pools create {name}")


def place(entrypoint: str, here: Path) -> tuple[Path, str]:
    """Return where code lies and the entrypoint within: ``here``, if the file is below it.

    Raises InvalidInputError for what is no entrypoint.
    """
    code, colon, word = entrypoint.rpartition(":")
    if not (colon and code and word):
        message = f"{entrypoint!r} does not say which function of which file. Write FILE.py:FLOW"
        raise InvalidInputError(message, field="entrypoint")
    if not (code.endswith(".py") or os.sep in code):
        return here, entrypoint  # a module
    file = Path(os.path.normpath(here / Path(code).expanduser()))
    path = here if file.is_relative_to(here) else file.parent
    return path, f"{file.relative_to(path)}:{word}"
