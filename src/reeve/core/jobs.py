"""What is launched for a run: command, environment, directory, and how a pool and a deployment spell it."""

from __future__ import annotations

import difflib
import re
import shlex
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from reeve.errors import InvalidInputError

# Fields of the 2.20 infrastructure block that say nothing about the process itself (A110).
_WITHOUT_EFFECT = frozenset({"type", "block_type_slug"})
_PLACEHOLDER = re.compile(r"\{\{\s*([^{}]+?)\s*\}\}")
_UNSET: Any = object()


class JobSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A resolved job. ``command`` None: reeve's engine; ``working_dir`` None: a fresh directory (A112).

    ``name`` and ``labels`` are what infrastructure that has such things shows of the run (A85).
    ``stream_output``: what the run writes appears among the agent's own output too (A115).
    """

    command: list[str] | None = None
    env: dict[str, str | None] = msgspec.field(default_factory=dict)
    name: str | None = None
    labels: dict[str, str] = msgspec.field(default_factory=dict)
    working_dir: str | None = None
    grace_seconds: float = 30
    stream_output: bool = False

    def environment(self, base: Mapping[str, str]) -> dict[str, str]:
        """Return ``base`` overlaid by the job's variables; a null value takes the variable away (A113)."""
        merged = {**base, **self.env}
        return {name: value for name, value in merged.items() if value is not None}


def resolve(base: Mapping[str, Any], overrides: Mapping[str, Any]) -> JobSpec:
    """Merge a pool's job template with a deployment's job variables.

    ``base`` is a ``base_job_template`` (``variables`` and ``job_configuration`` with ``{{ name }}``
    placeholders), a plain mapping of job fields, or ``{}``. A key of ``overrides`` is the name of a template
    variable, a job field, or a dotted path into one (``env.NAME``, A82).
    Raises InvalidInputError, naming the key, for a key that means nothing or a value that does not fit.
    """
    variables = _declared_variables(base)
    template = base["job_configuration"] if "job_configuration" in base else _plain_fields(base)
    if not isinstance(template, Mapping):
        raise InvalidInputError("'job_configuration' must be a mapping.", field="job_configuration")
    chosen = {key: value for key, value in overrides.items() if key in variables}
    filled = _fill(template, {**variables, **chosen})
    job = {"env": {}, **{key: value for key, value in filled.items() if value is not None}}
    known = {*JobSpec.__struct_fields__, *_WITHOUT_EFFECT, *template, *variables}
    for key, value in overrides.items():
        if key not in chosen:
            _override(job, key, value, known)
    return _build(job)


def _plain_fields(base: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in base.items() if key != "variables"}


def _declared_variables(base: Mapping[str, Any]) -> dict[str, Any]:
    """Return each variable of the template's JSON schema with its default, or _UNSET."""
    schema = base.get("variables") or {}
    properties = schema.get("properties") or {} if isinstance(schema, Mapping) else {}
    return {name: _default(one) for name, one in properties.items()}


def _default(schema: Any) -> Any:
    return schema.get("default", _UNSET) if isinstance(schema, Mapping) else _UNSET


def _fill(template: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Put values in the place of placeholders; a field whose only content has no value is left out."""
    filled = {key: _fill_value(value, values) for key, value in template.items()}
    return {key: value for key, value in filled.items() if value is not _UNSET}


def _fill_value(value: Any, values: Mapping[str, Any]) -> Any:
    if isinstance(value, Mapping):
        return _fill(value, values)
    if isinstance(value, list):
        return [item for item in (_fill_value(item, values) for item in value) if item is not _UNSET]
    if not isinstance(value, str):
        return value
    if whole := _PLACEHOLDER.fullmatch(value.strip()):
        return _value_of(whole[1], values)
    return _PLACEHOLDER.sub(lambda found: _as_text(_value_of(found[1], values)), value)


def _value_of(name: str, values: Mapping[str, Any]) -> Any:
    if name not in values:
        raise InvalidInputError(
            f"The job template uses '{{{{ {name} }}}}', which its 'variables' do not declare."
            + _suggestion(name, values),
            field="job_configuration",
        )
    return values[name]


def _as_text(value: Any) -> str:
    return "" if value is _UNSET or value is None else str(value)


def _override(job: dict[str, Any], key: str, value: Any, known: Iterable[str]) -> None:
    """Set the value at a dotted path whose steps, all but the last, exist as mappings (A82)."""
    first, *rest = key.split(".")
    if first not in known:
        raise InvalidInputError(
            f"The job variable '{key}' means nothing here." + _suggestion(first, known), field=key
        )
    *steps, last = (first, *rest)
    place: Any = job
    for depth, step in enumerate(steps, start=1):
        place = place.get(step)
        if not isinstance(place, Mapping):
            path = ".".join(steps[:depth])
            raise InvalidInputError(
                f"The job variable '{key}' cannot be set: '{path}' is no mapping of this job.", field=key
            )
    _set(job, (*steps, last), value)


def _set(job: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    """Set a value without touching mappings that belong to the template."""
    first, *rest = path
    if not rest:
        job[first] = value
        return
    copy = dict(job[first])
    _set(copy, tuple(rest), value)
    job[first] = copy


def _suggestion(word: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(word, sorted(known), n=1)
    return f" Did you mean '{near[0]}'?" if near else ""


def _build(job: dict[str, Any]) -> JobSpec:
    given = {key: value for key, value in job.items() if value is not None}
    fields = {key: value for key, value in given.items() if key in JobSpec.__struct_fields__}
    fields["env"] = _environment(fields.get("env"))
    if isinstance(fields.get("command"), str):
        fields["command"] = _words(fields["command"])  # worker templates write a shell line
    try:
        spec = msgspec.convert(fields, JobSpec, strict=False)
    except msgspec.ValidationError as error:
        raise InvalidInputError(f"The job cannot be used: {error}.") from error
    if spec.command == []:
        raise InvalidInputError("'command' is empty. Name a program, or leave it out.", field="command")
    if spec.grace_seconds < 0:
        raise InvalidInputError("'grace_seconds' must not be negative.", field="grace_seconds")
    return spec


def _words(line: str) -> list[str]:
    try:
        return shlex.split(line)
    except ValueError as error:
        raise InvalidInputError(f"'command' cannot be split into words: {error}.", field="command") from error


def _environment(value: Any) -> dict[str, str | None]:
    """Return the variables as text; numbers and booleans are written out, as 2.20 does."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise InvalidInputError("'env' must be a mapping of names to texts.", field="env")
    for name, text in value.items():
        if text is not None and not isinstance(text, str | int | float):
            raise InvalidInputError(
                f"'env.{name}' must be a text or null, not {type(text).__name__}.", field=f"env.{name}"
            )
    return {str(name): None if text is None else str(text) for name, text in value.items()}
