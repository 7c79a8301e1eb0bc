"""The plan that follows from ``prefect.yaml``, or from an older ``NAME-deployment.yaml``. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reeve.cli.importing.flow_source import FlowSource
from reeve.cli.importing.of_server import no_schedule, schedule_fields
from reeve.cli.importing.plan import PROCESS, Choices, Item, Kind, Plan, Refusal, job_notes
from reeve.core.durations import seconds_of
from reeve.core.work import AGENT_POOL_TYPE, DEFAULT_POOL
from reeve.errors import InvalidInputError, ReeveError

_PLACEHOLDER = re.compile(r"\{\{\s*(.*?)\s*\}\}")
_STEP = "prefect.deployments.steps.set_working_directory"
# Of an infrastructure block what a process has; the rest of it says what kind of block it is.
_OF_PROCESS = ("env", "command", "working_dir", "labels", "name", "stream_output")


class CannotError(ReeveError):
    """It cannot be carried over; ``remedy``: what to do instead."""

    def __init__(self, why: str, remedy: str) -> None:
        super().__init__(why)
        self.remedy = remedy


@dataclass(frozen=True, kw_only=True)
class Around:
    """What a file is read with. ``look`` finds the source of a flow by its entrypoint."""

    file: Path
    environ: Mapping[str, str]
    look: Callable[[str, Path], FlowSource]
    choices: Choices

    @property
    def directory(self) -> Path:
        """The directory that entrypoints are relative to."""
        return self.file.parent


def plan_of_file(value: Any, around: Around) -> Plan:
    """Return what is wanted. Raises InvalidInputError for what is neither kind of file."""
    if not isinstance(value, Mapping) or not ("deployments" in value or "flow_name" in value):
        raise InvalidInputError(
            f"{around.file.name} is neither a prefect.yaml, which has 'deployments', "
            "nor a NAME-deployment.yaml, which has 'flow_name'",
            field="file",
        )
    if "deployments" in value:
        listed = value["deployments"] or []
        if not isinstance(listed, list):
            raise InvalidInputError(f"{around.file.name}: 'deployments' must be a list", field="deployments")
        plans = [_of_project(one, value, around, at) for at, one in enumerate(listed, 1)]
    else:
        plans = [_guarded(str(value.get("name")), lambda: _of_build(value, around))]
    return _pools_first([one for plan in plans for one in plan])


def _pools_first(plan: Plan) -> Plan:
    """Put each pool once, before everything that is in it."""
    pools = {one.name: one for one in plan if one.kind is Kind.POOL}
    return [*pools.values(), *(one for one in plan if one.kind is not Kind.POOL)]


def _guarded(name: str, plan: Callable[[], Plan]) -> Plan:
    """Return a deployment's plan; what is wrong with one does not stop the others."""
    try:
        return plan()
    except CannotError as error:
        why, remedy = error.message, error.remedy
    except ReeveError as error:
        why, remedy = error.message, "Mend the file, then import again"
    except (AttributeError, TypeError, ValueError) as error:  # a list where a mapping belongs, and the like
        why, remedy = f"it cannot be read: {error}", "Mend the file, then import again"
    return [Refusal(kind=Kind.DEPLOYMENT, name=name, why=why, remedy=remedy)]


# --- prefect.yaml


def _of_project(one: Any, project: Mapping[str, Any], around: Around, at: int) -> Plan:
    if not isinstance(one, Mapping):
        return _guarded(f"the {at}. deployment", lambda: _fail("it is no mapping of keys to values"))
    name = str(one.get("name") or f"the {at}. deployment")
    return _guarded(name, lambda: _deployment_of_project(one, project, around))


def _fail(why: str) -> Plan:
    raise CannotError(why, "Mend the file, then import again")


def _deployment_of_project(one: Mapping[str, Any], project: Mapping[str, Any], around: Around) -> Plan:
    work_pool = one.get("work_pool") or {}
    said = {key: value for key, value in one.items() if key not in {"build", "push", "pull", "work_pool"}}
    said = _filled(said, around.environ)
    pool = _filled({key: work_pool.get(key) for key in ("name", "work_queue_name")}, around.environ)
    for key in ("name", "entrypoint"):
        if not said.get(key):
            _fail(f"it has no {key!r}")
    if not pool["name"]:
        _fail("its 'work_pool' has no 'name'")
    flow = around.look(said["entrypoint"], around.directory)
    pull = one["pull"] if "pull" in one else project.get("pull")
    here = [{_STEP: {"directory": str(around.directory)}}]
    overrides = around.choices.job_variables(work_pool.get("job_variables") or {})
    full_name = f"{said.get('flow_name') or flow.name}/{said['name']}"
    kept, refused = _schedules(full_name, said)
    fields = {
        **_common(said, flow),
        "path": None,
        "pull_steps": _filled(pull, around.environ, later=True) or here,
        "pool": pool["name"],
        "queue": pool["work_queue_name"] or "default",
        "job_variables": _filled(overrides, around.environ, later=True),
        "schedules": kept,
    }
    notes = (
        *_flow_notes(said, flow),
        *_step_notes(one, project),
        *job_notes(None, overrides),
    )
    return [
        _pool(
            pool["name"], PROCESS, "its type is not in the file: if it is no pool of processes, make it first"
        ),
        _deployment(full_name, fields, notes, around.choices),
        *refused,
        *_triggers(full_name, said),
    ]


def _step_notes(one: Mapping[str, Any], project: Mapping[str, Any]) -> tuple[str, ...]:
    steps = [key for key in ("build", "push") if (one[key] if key in one else project.get(key))]
    if not steps:
        return ()
    return (f"reeve takes no {' and '.join(steps)} steps: do what they do before you import",)


# --- NAME-deployment.yaml


def _of_build(said: Mapping[str, Any], around: Around) -> Plan:
    for key in ("name", "flow_name", "entrypoint"):
        if not said.get(key):
            _fail(f"it has no {key!r}")
    full_name = f"{said['flow_name']}/{said['name']}"
    if said.get("storage"):
        raise CannotError(
            "its code is in a storage block, whose secrets are not in the file",
            "Import it from the server: reeve import prefect --from URL",
        )
    overrides = around.choices.job_variables(
        {**_infrastructure(said.get("infrastructure") or {}), **(said.get("infra_overrides") or {})}
    )
    kept, refused = _schedules(full_name, said)
    pool = said.get("work_pool_name") or DEFAULT_POOL
    fields = {
        **_common(said, FlowSource(name=said["flow_name"])),
        "parameter_schema": _without_nulls(said.get("parameter_openapi_schema")),
        "path": said.get("path"),
        "pool": pool,
        "queue": said.get("work_queue_name") or "default",
        "job_variables": overrides,
        "manifest_path": said.get("manifest_path"),
        "schedules": kept,
    }
    type_ = AGENT_POOL_TYPE if pool == DEFAULT_POOL else PROCESS
    return [
        _pool(pool, type_, ""),
        _deployment(full_name, fields, job_notes({}, overrides), around.choices),
        *refused,
        *_triggers(full_name, said),
    ]


def _infrastructure(block: Mapping[str, Any]) -> dict[str, Any]:
    """Return what an infrastructure block says as job variables, which mean the same."""
    kind = block.get("type") or block.get("block_type_slug") or PROCESS
    if kind != PROCESS:
        raise CannotError(
            f"its infrastructure is a {kind!r}, and reeve's agents start processes",
            "Import it with --from URL, and have an agent of Prefect serve it",
        )
    said = {name: block.get(name) for name in _OF_PROCESS if name != "stream_output"}
    return {name: value for name, value in said.items() if value}


def _without_nulls(schema: Any) -> Any:
    return {key: value for key, value in schema.items() if value is not None} if schema else None


# --- what both have


def _common(said: Mapping[str, Any], flow: FlowSource) -> dict[str, Any]:
    return {
        "entrypoint": said["entrypoint"],
        "parameters": said.get("parameters") or {},
        "parameter_schema": flow.schema,
        "enforce_parameter_schema": bool(said.get("enforce_parameter_schema")),
        "tags": said.get("tags") or [],
        "description": said.get("description") or flow.description,
        "version": None if said.get("version") is None else str(said["version"]),
        "paused": bool(said.get("paused")) or said.get("is_schedule_active") is False,
    }


def _pool(name: str, type_: str, note: str) -> Item:
    return Item(kind=Kind.POOL, name=name, given={"type": type_}, notes=(note,) if note else ())


def _deployment(name: str, fields: dict[str, Any], notes: Iterable[str], choices: Choices) -> Item:
    fields, given = choices.apart(fields, {"flow": name.partition("/")[0], "flow_tags": []})
    return Item(kind=Kind.DEPLOYMENT, name=name, fields=fields, given=given, notes=tuple(notes))


def _flow_notes(said: Mapping[str, Any], flow: FlowSource) -> tuple[str, ...]:
    if flow.is_certain or said.get("flow_name"):
        return ()
    why = f"the name of its flow is guessed, as {said['entrypoint']} is not here to be read"
    return (f"{why}: if @flow has another 'name', give the deployment a 'flow_name'",)


def _triggers(name: str, said: Mapping[str, Any]) -> Plan:
    if not said.get("triggers"):
        return []
    why = "its triggers are automations, which reeve does not have"
    remedy = "The deployment is made without: have the flow before it ask for it with run_deployment"
    return [Refusal(kind=Kind.DEPLOYMENT, name=name, why=why, remedy=remedy)]


def _schedules(name: str, said: Mapping[str, Any]) -> tuple[list[dict[str, Any]], Plan]:
    """Return the schedules that can be followed, and what is wrong with the others."""
    listed = list(said.get("schedules") or [])
    if not listed and said.get("schedule"):
        listed = [said["schedule"]]
    kept: list[dict[str, Any]] = []
    refused: Plan = []
    for one in listed:
        try:
            kept.append(_schedule(one))
        except InvalidInputError as error:
            refused.append(no_schedule(name, one, error))
    return kept, refused


def _schedule(one: Any) -> dict[str, Any]:
    """Read a schedule as either file writes it: its rule beside ``active``, or below ``schedule``."""
    if not isinstance(one, Mapping):
        raise InvalidInputError("a schedule must be a mapping of keys to values")
    rule = dict(one.get("schedule") or one)
    active = one.get("active")
    rule = {key: value for key, value in rule.items() if key != "active" and value is not None}
    if isinstance(rule.get("interval"), str):
        rule["interval"] = seconds_of(rule["interval"]) or rule["interval"]
    if "rrule" in rule:
        rule = _rrule(rule)
    return schedule_fields(rule, True if active is None else bool(active))


def _rrule(rule: dict[str, Any]) -> dict[str, Any]:
    """Read a rule that is JSON in a text, which 2.20 takes too; a time zone beside it wins."""
    try:
        inner = json.loads(rule["rrule"])
    except ValueError:
        return rule
    return {**inner, **{key: value for key, value in rule.items() if key == "timezone"}}


def _filled(value: Any, environ: Mapping[str, str], *, later: bool = False) -> Any:
    """Put environment variables in the place of ``{{ $NAME }}``, as 2.20 does when it deploys.

    ``later``: what is not known yet may stay, since Prefect's engine looks it up when a run starts.
    """
    if isinstance(value, Mapping):
        return {key: _filled(one, environ, later=later) for key, one in value.items()}
    if isinstance(value, list):
        return [_filled(one, environ, later=later) for one in value]
    if not isinstance(value, str):
        return value
    return _PLACEHOLDER.sub(lambda found: _word(found, environ, later), value)


def _word(found: re.Match[str], environ: Mapping[str, str], later: bool) -> str:
    name = found[1]
    if name.startswith("$"):
        if name[1:] not in environ:
            if later:
                return found[0]
            remedy = "Set it, then import again"
            raise CannotError(f"the environment variable {name[1:]!r} is not set", remedy)
        return environ[name[1:]]
    if not name.startswith("prefect."):
        raise CannotError(
            f"{found[0]} is what a build step puts out, and reeve takes none",
            "Write the value into the file",
        )
    if not later:
        raise CannotError(
            f"{found[0]} is looked up on the server when Prefect deploys",
            "Write the value into the file, or import from the server: reeve import prefect --from URL",
        )
    return found[0]
