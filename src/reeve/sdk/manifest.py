"""``reeve.yaml``: many deployments in one file. What is wrong is told with its key and its line."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from reeve.core.crashes import CrashReason
from reeve.core.durations import seconds_of
from reeve.core.pull_steps import KINDS, read_step
from reeve.core.schedule_policies import Catchup, Overlap, SchedulePolicy
from reeve.core.schedules import schedule_from_json, validate
from reeve.core.time_limits import LONGEST_SECONDS, Then, TimeLimit, TimeLimits
from reeve.errors import InvalidInputError, ReeveError
from reeve.sdk.deploy import DEFAULT_POOL, DEFAULT_QUEUE, Deployable, DeploymentSpec, ScheduleSpec, place
from reeve.wire import codec

if TYPE_CHECKING:
    import yaml

T = TypeVar("T")

Load = Callable[[str, Path], Deployable]

FILE_NAME = "reeve.yaml"
RULES = ("cron", "interval", "rrule", "once")
_VARIABLE = re.compile(r"\$(\$)?\{([^}]*)\}")
_Place = tuple[str | int, ...]


class ManifestError(InvalidInputError):
    """``reeve.yaml`` says something that cannot be."""

    code = "manifest_invalid"


class _Schedule(msgspec.Struct, kw_only=True):
    cron: str | None = None
    interval: str | float | None = None
    rrule: str | None = None
    once: str | None = None
    timezone: str | None = None
    day_or: bool = True
    anchor: str | None = None
    active: bool = True
    parameters: dict[str, Any] = msgspec.field(default_factory=dict)
    catchup: Catchup | None = None
    max_late: str | float | None = None
    overlap: Overlap = Overlap.ALLOW


class _Deployment(msgspec.Struct, kw_only=True):
    name: str
    entrypoint: str
    description: str | None = None
    version: str | None = None
    tags: list[str] = msgspec.field(default_factory=list)
    parameters: dict[str, Any] = msgspec.field(default_factory=dict)
    pool: str = DEFAULT_POOL
    queue: str = DEFAULT_QUEUE
    paused: bool = False
    schedules: list[_Schedule] = msgspec.field(default_factory=list)
    max_run: str | float | None = None
    max_pending: str | float | None = None
    must_start_by: str | float | None = None
    crash_retries: int = 0
    crash_retry_delay: str | float = 0.0
    crash_retry_on: list[CrashReason] = msgspec.field(default_factory=lambda: list(CrashReason))
    concurrency_limit: int | None = None
    job_variables: dict[str, Any] = msgspec.field(default_factory=dict)
    pull: list[dict[str, dict[str, Any]]] = msgspec.field(default_factory=list)


_TOP = ("deployments",)
_DEPLOYMENT = _Deployment.__struct_fields__
_SCHEDULE = _Schedule.__struct_fields__
KEYS = tuple(key for key in _DEPLOYMENT if key not in {"name", "entrypoint"})  # of a flow that is here
_WORDS: dict[str | int, list[str]] = {
    "catchup": [one.value for one in Catchup],
    "overlap": [one.value for one in Overlap],
    "crash_retry_on": [one.value for one in CrashReason],
}


class Manifest:
    """The deployments of a file, each read when it is wanted: its code need not all be here."""

    def __init__(self, source: _Source, load: Load) -> None:
        self._source = source
        self._load = load
        self._read = [self._deployment(at) for at in range(len(source.listed))]
        self._check_names()

    @classmethod
    def of_file(cls, file: Path, environ: Mapping[str, str], load: Load) -> Manifest:
        """Read a file; ``load`` finds a flow by its entrypoint."""
        return cls(_read_file(file, environ), load)

    @classmethod
    def of_call(cls, call: str, flow: Deployable, entrypoint: str, given: Mapping[str, Any]) -> Manifest:
        """Return what a call with the keys of one deployment says; ``call`` begins its error messages."""
        value = {"entrypoint": entrypoint, **_as_in_a_file(given)}
        source = _Source(call, Path.cwd(), {"deployments": [value]}, {})
        return cls(source, lambda _entrypoint, _path: flow)

    @property
    def names(self) -> list[str]:
        """The names of the deployments, in the order of the file."""
        return [one.name for one in self._read]

    def specs(self, name: str | None = None) -> list[DeploymentSpec]:
        """Return all, or those called ``name`` or FLOW/NAME. Raises ManifestError, FlowLoadError."""
        chosen = [at for at, one in enumerate(self._read) if name is None or one.name == name.split("/")[-1]]
        specs = [self._spec(at) for at in chosen]
        found = [spec for spec in specs if name is None or name in {spec.name, spec.full_name}]
        if name is not None and not found:
            raise ManifestError(
                f"{self._source.name} has no deployment {name!r}{_near(name, self.names)}", field="name"
            )
        return found

    def _check_names(self) -> None:
        """A name may be there twice only for two flows: here, for two functions."""
        seen: dict[tuple[str, str], int] = {}
        for at, one in enumerate(self._read):
            if (one.name, one.entrypoint) in seen:
                raise self._source.error(
                    ("deployments", at, "name"), f"the deployment {one.name!r} is there twice"
                )
            seen[one.name, one.entrypoint] = at

    def _deployment(self, at: int) -> _Deployment:
        source, value = self._source, self._source.listed[at]
        where: _Place = ("deployments", at)
        source.check_keys(value, where, _DEPLOYMENT, "a deployment")
        for key in ("name", "entrypoint"):
            if key not in value:
                raise source.error(where, f"the deployment has no {key!r}")
        for place_, one in enumerate(_list(value.get("schedules"))):
            source.check_keys(one, (*where, "schedules", place_), _SCHEDULE, "a schedule")
        for place_, one in enumerate(_list(value.get("pull"))):
            source.check_keys(one, (*where, "pull", place_), KINDS, "a pull step")
        try:
            return msgspec.convert(value, _Deployment, strict=False)
        except msgspec.ValidationError as error:
            said, _, path = str(error).partition(" - at `$")
            place_of = (*where, *_steps(path))
            raise source.error(place_of, _fault(said, place_of)) from None

    def _spec(self, at: int) -> DeploymentSpec:
        one, source, where = self._read[at], self._source, ("deployments", at)
        root, inside = place(one.entrypoint, source.directory)
        return DeploymentSpec(
            name=one.name,
            flow=self._load(inside, root),
            entrypoint=inside,
            path=root,
            pool=one.pool,
            queue=one.queue,
            schedules=[
                self._schedule(each, (*where, "schedules", n)) for n, each in enumerate(one.schedules)
            ],
            parameters=one.parameters,
            tags=one.tags,
            description=one.description,
            version=one.version,
            paused=one.paused,
            job_variables=one.job_variables,
            pull_steps=[
                source.at((*where, "pull", n), partial(read_step, step)) for n, step in enumerate(one.pull)
            ]
            or None,
            limits=TimeLimits(
                max_pending=self._limit(one.max_pending, (*where, "max_pending")),
                max_run=self._limit(one.max_run, (*where, "max_run")),
                must_start_by=self._limit(one.must_start_by, (*where, "must_start_by")),
            ),
            crash_retries=one.crash_retries,
            crash_retry_delay=self._seconds(one.crash_retry_delay, (*where, "crash_retry_delay")),
            crash_retry_on=one.crash_retry_on,
            concurrency_limit=one.concurrency_limit,
        )

    def _schedule(self, one: _Schedule, where: _Place) -> ScheduleSpec:
        given = [name for name in RULES if getattr(one, name) is not None]
        if len(given) != 1:
            raise self._source.error(where, f"a schedule has exactly one of {', '.join(RULES)}")
        zone = {} if one.timezone is None else {"timezone": one.timezone}
        rule = {**self._rule(given[0], one, (*where, given[0])), **zone}
        self._source.at((*where, given[0]), lambda: validate(schedule_from_json(rule)))
        late = None if one.max_late is None else self._seconds(one.max_late, (*where, "max_late"))
        policy = SchedulePolicy(
            parameters=one.parameters, catchup=one.catchup, max_late=late, overlap=one.overlap
        )
        return ScheduleSpec(rule=rule, active=one.active, policy=policy)

    def _rule(self, kind: str, one: _Schedule, where: _Place) -> dict[str, Any]:
        if one.anchor is not None and kind != "interval":
            raise self._source.error((*where[:-1], "anchor"), "'anchor' needs an 'interval'")
        if kind == "cron":
            return {"cron": one.cron, **({} if one.day_or else {"day_or": False})}
        if kind == "rrule":
            return {"rrule": one.rrule}
        if kind == "once":
            return {
                "rrule": f"DTSTART:{self._moment(one.once, where):%Y%m%dT%H%M%S}\nRRULE:FREQ=DAILY;COUNT=1"
            }
        anchor = {}
        if one.anchor is not None:
            moment = self._moment(one.anchor, (*where[:-1], "anchor"))
            anchor = {"anchor_date": codec.iso(moment.astimezone())}
        return {"interval": self._seconds(one.interval, where), **anchor}

    def _moment(self, text: str | None, where: _Place) -> datetime:
        try:
            return datetime.fromisoformat(str(text))
        except ValueError:
            raise self._source.error(
                where, f"{text!r} is no moment; write it like 2026-01-31T03:00"
            ) from None

    def _seconds(self, value: str | float | None, where: _Place) -> float:
        seconds = seconds_of(value) if isinstance(value, str) else value
        if seconds is None or not 0 <= seconds <= LONGEST_SECONDS:
            raise self._source.error(where, f"{value!r} is no length of time; write 30s, 5m, 1h, 1d or 1h30m")
        return float(seconds)

    def _limit(self, value: str | float | None, where: _Place) -> TimeLimit | None:
        if value is None:
            return None
        length, colon, then = str(value).partition(":")
        if colon and then not in set(Then):
            raise self._source.error(
                where, f"{then!r} does not say what follows; write 1h:fail, 1h:cancel, 1h:retry"
            )
        return TimeLimit(seconds=self._seconds(length, where), then=Then(then) if colon else Then.FAIL)


class _Source:
    """What is read as plain values, and in which line of a file each of them stands."""

    def __init__(self, name: str, directory: Path, top: Any, lines: Mapping[_Place, int]) -> None:
        self.name = name
        self.directory = directory
        self._lines = lines
        self.check_keys(top, (), _TOP, "the file")
        self.listed = [*_list(top.get("deployments"))]
        if not self.listed:
            raise ManifestError(f"{name} has no deployments. Write one with: reeve init")

    def error(self, where: _Place, sentence: str) -> ManifestError:
        """Return an error that names the place."""
        return _error(self.name, self._lines, where, sentence)

    def at(self, where: _Place, read: Callable[[], T]) -> T:
        """Return what ``read`` gives; what it refuses is told with its place."""
        try:
            return read()
        except ReeveError as error:
            raise self.error(where, error.message) from None

    def check_keys(self, value: Any, where: _Place, known: Iterable[str], what: str) -> None:
        """Refuse what is no mapping, and keys that mean nothing."""
        if not isinstance(value, dict):
            raise self.error(where, f"{what} must be a mapping of keys to values")
        for key in value:
            if key not in known:
                raise self.error((*where, key), f"{what} has no key {key!r}{_near(str(key), known)}")


def _read_file(file: Path, environ: Mapping[str, str]) -> _Source:
    import yaml

    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ManifestError(
            f"There is no {file}. Name a flow, FILE.py:FLOW, or write the file with: reeve init"
        ) from None
    try:
        reader = _Reader(file.name, yaml.SafeLoader(text), environ)
        return _Source(file.name, file.parent, reader.top(), reader.lines)
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        raise ManifestError(f"{file.name}{line}: this is no YAML: {error.problem}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ManifestError(f"{file.name}: this is no YAML: {error}") from None


class _Reader:
    """Makes plain values of YAML, and notes their lines."""

    def __init__(self, name: str, loader: yaml.SafeLoader, environ: Mapping[str, str]) -> None:
        self.lines: dict[_Place, int] = {}
        self._name = name
        self._loader = loader
        self._environ = environ

    def top(self) -> Any:
        node = self._loader.get_single_node()
        return {} if node is None else self._value(node, ())

    def _value(self, node: yaml.Node, where: _Place) -> Any:
        import yaml

        self.lines.setdefault(where, node.start_mark.line + 1)
        if isinstance(node, yaml.MappingNode):
            self._loader.flatten_mapping(node)
            return self._mapping(node, where)
        if isinstance(node, yaml.SequenceNode):
            return [self._value(one, (*where, n)) for n, one in enumerate(node.value)]
        value = self._loader.construct_object(node, deep=True)
        if isinstance(value, datetime | date):  # a text, as it is in JSON
            return value.isoformat()
        return self._filled(value, where) if isinstance(value, str) else value

    def _mapping(self, node: yaml.MappingNode, where: _Place) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, one in node.value:
            key = str(self._loader.construct_object(name, deep=True))
            self.lines[(*where, key)] = name.start_mark.line + 1
            if key in found:
                raise self._error((*where, key), "the key is there twice")
            found[key] = self._value(one, (*where, key))
        return found

    def _filled(self, text: str, where: _Place) -> str:
        """Put environment variables in the place of ${NAME}; $${NAME} is the text ${NAME}."""

        def value(match: re.Match[str]) -> str:
            escaped, name = match.groups()
            if escaped:
                return f"${{{name}}}"
            if name not in self._environ:
                raise self._error(where, f"the environment variable {name!r} is not set")
            return self._environ[name]

        return _VARIABLE.sub(value, text)

    def _error(self, where: _Place, sentence: str) -> ManifestError:
        return _error(self._name, self.lines, where, sentence)


def _error(name: str, lines: Mapping[_Place, int], where: _Place, sentence: str) -> ManifestError:
    """Return an error that names the file, the line, or of a call the argument."""
    at = where
    while at and at not in lines:
        at = at[:-1]
    line = f":{lines[at]}" if at in lines else ""
    key = _dotted(where if lines else where[2:])
    return ManifestError(f"{name}{line}: {f'{key}: ' if key else ''}{sentence}", field=key)


def _as_in_a_file(value: Any) -> Any:
    """Return Python's values as YAML would have them."""
    if isinstance(value, Mapping):
        return {name: _as_in_a_file(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_as_in_a_file(one) for one in value]
    if isinstance(value, timedelta):
        return value.total_seconds()
    return value.isoformat() if isinstance(value, datetime | date) else value


def check_known(call: str, keys: Iterable[str], known: Iterable[str]) -> None:
    """Raise ManifestError for the first key of a call that means nothing."""
    for key in keys:
        if key not in known:
            raise ManifestError(f"{call}() has no key {key!r}{_near(key, known)}", field=key)


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _dotted(where: _Place) -> str:
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in where)
    return text.lstrip(".")


def _steps(path: str) -> list[str | int]:
    """Read msgspec's ``.schedules[0].cron`` as steps."""
    return [int(number) if number else name for name, number in re.findall(r"\.(\w+)|\[(\d+)\]", path)]


def _fault(said: str, where: _Place) -> str:
    """Say what msgspec found; of a word that is none of a few, which there are."""
    words = next((_WORDS[step] for step in reversed(where) if step in _WORDS), None)
    if words is None or "enum value" not in said:
        return (said[:1].lower() + said[1:]).replace("`", "")
    given = said.partition("'")[2].rstrip("'")
    return f"{given!r} is not known{_near(given, words)}"


def _near(word: str, known: Iterable[str]) -> str:
    names = list(known)
    near = difflib.get_close_matches(word, names, n=1)
    return f"; did you mean {near[0]!r}?" if near else f"; it has: {', '.join(names)}"
