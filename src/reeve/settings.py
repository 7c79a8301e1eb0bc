"""What a user can set, where each value came from, and the key of the home. Read by composition roots only.

Each value is taken from the first of: option of the command, environment (``REEVE_`` and the name in
capitals), ``<home>/settings.toml`` (the name as it is), default.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, get_type_hints
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta, Struct

from reeve.errors import InvalidInputError, ReeveError

PREFIX = "REEVE_"
FILE = "settings.toml"
KEY_FILE = "key"
SECRETS_FILE = "secrets.key"
KEY_BYTES = 32  # 256 bits: nobody guesses it, so a plain SHA-256 of it is a safe thing to store
SECRET = frozenset({"api_key", "secrets_key"})
DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 4200  # where a 2.20 client looks for its server
DEFAULT_OUTPUT_QUOTA = 100 * 1024 * 1024  # protocol §7, as drivers.base.Launch; a test compares them
DEFAULT_SPOOL_LIMIT = 10 * 1024**3  # a hundred runs that print and log half of what they may
LEAST_SPOOL_LIMIT = 1024**2  # the ends of what some runs have written stay in any case
DEFAULT_LEASE = 20.0  # protocol §3, as core.attempts.LeaseTerms; a test compares them
ANY_HOST = frozenset({"0.0.0.0", "::", ""})  # noqa: S104  # named to be told apart, not to be bound
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


def _value(sentence: str, must_be: str, **bounds: Any) -> Meta:
    """Describe a setting: its sentence, and how a good value looks."""
    return Meta(description=sentence, extra={"must_be": must_be}, **bounds)


_SECONDS = "a number of seconds above 0"
_DAYS = "a number of days, 0 or more"


class Settings(Struct, frozen=True, kw_only=True):
    """The values in force. Durations in seconds, unless the name says days."""

    home: Annotated[Path, _value("Directory of the key, the settings file and all data.", "a directory")]
    api_url: Annotated[
        str,
        _value(
            "Where CLI, SDK and agents find the server; the one of this machine unless set.",
            "like http://127.0.0.1:4200/api",
            pattern=r"^https?://[^/]+",
        ),
    ]
    api_key: Annotated[
        str | None,
        _value("Key shown to the server; on this machine the home's own is used.", "a text without blanks"),
    ] = None
    database_url: Annotated[
        str,
        _value(
            "Where the server keeps everything; SQLite in the home unless set.",
            "like sqlite:////var/lib/reeve/reeve.db or postgresql://user@host/reeve",
            pattern=r"^(sqlite:///|postgres(ql)?://).",
        ),
    ]
    results: Annotated[
        str,
        _value(
            "Where results go that flows and tasks persist; in the home unless set.",
            "a directory, or a URL that fsspec knows",
        ),
    ]
    secrets_key: Annotated[
        str | None,
        _value(
            "Keys that blocks are sealed with, the newest last; those of secrets.key in the home unless set. "
            "Servers of one database need the same.",
            "base64 of 32 bytes, several apart by commas",
        ),
    ] = None
    server_host: Annotated[
        str, _value("Address the server listens on; loopback, because it runs code.", "a host or an address")
    ] = DEFAULT_HOST
    allowed_hosts: Annotated[
        str,
        _value(
            "Names besides its own and loopback's under which the server may be called (protocol §11).",
            "names separated by commas, like reeve.example.org,reeve",
        ),
    ] = ""
    server_port: Annotated[
        int, _value("Port the server listens on.", "a port from 1 to 65535", ge=1, le=65535)
    ] = DEFAULT_PORT
    retention_runs_days: Annotated[
        float, _value("Ended runs are deleted after this many days; 0 keeps all.", _DAYS, ge=0)
    ] = 90.0
    retention_logs_days: Annotated[
        float, _value("Log lines are deleted after this many days; 0 keeps all.", _DAYS, ge=0)
    ] = 30.0
    lease_seconds: Annotated[
        float, _value("Silence after which a run counts as unreachable.", _SECONDS, gt=0)
    ] = DEFAULT_LEASE
    renew_seconds: Annotated[
        float,
        _value(
            "How often leases are renewed: a quarter of the lease, so that it outlives three losses.",
            _SECONDS,
            gt=0,
        ),
    ] = 5.0
    lease_margin_seconds: Annotated[
        float,
        _value("A run that is replaced is ended this long before its lease; a tenth of it.", _SECONDS, gt=0),
    ] = 2.0
    lease_grace_seconds: Annotated[
        float, _value("Waited on top of a lease, for clocks and answers under way.", _SECONDS, gt=0)
    ] = 3.0
    lost_after_seconds: Annotated[
        float, _value("A silent agent's runs are given up after this, in pools that wait.", _SECONDS, gt=0)
    ] = 300.0
    launch_tries: Annotated[
        int, _value("Claims of a run that may end without a launch.", "a whole number from 1 on", ge=1)
    ] = 3
    poll_seconds: Annotated[
        float,
        _value("How often an agent asks a 2.20 server for work; one of reeve's calls it.", _SECONDS, gt=0),
    ] = 5.0
    status_host: Annotated[
        str,
        _value(
            "Address at which an agent says how it is; loopback: it asks for no key.", "a host or an address"
        ),
    ] = DEFAULT_HOST
    status_port: Annotated[
        int, _value("Port at which it does; 0 takes any, written to its log.", "a port, or 0", ge=0, le=65535)
    ] = 0
    drain_timeout: Annotated[
        float,
        _value(
            "How long an agent that is stopped lets its runs finish.", "a number of seconds from 0 on", ge=0
        ),
    ] = 30.0
    leave_runs: Annotated[
        bool,
        _value(
            "Whether such an agent leaves runs that take longer to its next start; else it ends them.",
            "true or false",
        ),
    ] = False
    output_quota: Annotated[
        int,
        _value(
            "How much a run may print, and how much it may log; what is beyond is cut.",
            "a number of bytes above 0",
            gt=0,
        ),
    ] = DEFAULT_OUTPUT_QUOTA
    spool_limit: Annotated[
        int,
        _value(
            "How much disk the output of all runs of an agent may take; first goes what the server has.",
            f"a number of bytes from {LEAST_SPOOL_LIMIT} (1 MiB) on",
            ge=LEAST_SPOOL_LIMIT,
        ),
    ] = DEFAULT_SPOOL_LIMIT
    notify_private_addresses: Annotated[
        bool,
        _value(
            "Whether notifications may go to addresses of private networks and of this machine.",
            "true or false",
        ),
    ] = False
    report: Annotated[
        str,
        _value(
            "Who hears of a flow that is called directly: nobody, or the server, which then shows the run.",
            "off or server",
            pattern="^(off|server)$",
        ),
    ] = "off"
    log_level: Annotated[
        str,
        _value(
            "How much server and agents say of themselves.",
            "DEBUG, INFO, WARNING or ERROR",
            pattern="^(DEBUG|INFO|WARNING|ERROR)$",
        ),
    ] = "INFO"


class Source(StrEnum):
    """Where a value can come from."""

    DEFAULT = "default"
    KEY_FILE = "key file"
    FILE = "settings file"
    ENVIRONMENT = "environment"
    OPTION = "option"


class Origin(Struct, frozen=True):
    """Where a value came from; ``place`` is the variable, the file and line, or the option."""

    source: Source
    place: str = ""


class Loaded(Struct, frozen=True):
    """Settings, with the origin of each by its name."""

    settings: Settings
    origins: dict[str, Origin]


def load(environ: Mapping[str, str], options: Mapping[str, object] | None = None) -> Settings:
    """Return the settings in force; see ``gather``."""
    return gather(environ, options).settings


def gather(environ: Mapping[str, str], options: Mapping[str, object] | None = None) -> Loaded:
    """Read options, environment, settings file and key file, and say where each value came from.

    ``options`` by the names of the settings; None stands for "not given". InvalidInputError names the
    variable, or the file and line, that cannot be used, and what it should be.
    """
    given = {name: value for name, value in (options or {}).items() if value is not None}
    hints = _hints()
    home, home_origin = _home(environ, given)
    values: dict[str, Any] = {"home": home}
    origins = {name: Origin(Source.DEFAULT) for name in hints} | {"home": home_origin}
    layers = (*_file(home, hints), *_environment(environ, hints), *_options(given))
    for name, value, origin in layers:  # later layers win
        values[name] = _convert(value, hints[name], origin)
        origins[name] = origin
    settings = Settings(**_follow(values))
    _check_lease(settings, origins)
    if settings.api_key is None and is_own_machine(settings.api_url):
        settings = msgspec.structs.replace(settings, api_key=home_key(home))
        if settings.api_key is not None:
            origins["api_key"] = Origin(Source.KEY_FILE, str(home / KEY_FILE))
    return Loaded(settings, {name: origins[name] for name in hints})


def _follow(values: Mapping[str, Any]) -> dict[str, Any]:
    """Add the defaults that follow from other values."""
    lease = values.get("lease_seconds", DEFAULT_LEASE)
    return {
        "api_url": own_url(values.get("server_host", DEFAULT_HOST), values.get("server_port", DEFAULT_PORT)),
        "database_url": f"sqlite:///{values['home'] / 'reeve.db'}",
        "results": str(values["home"] / "results"),
        "renew_seconds": lease / 4,
        "lease_margin_seconds": lease / 10,
        **values,
    }


def own_url(host: str, port: int) -> str:
    """Return where a server that listens on ``host`` is found from this machine."""
    near = "127.0.0.1" if host in ANY_HOST else f"[{host}]" if ":" in host else host
    return f"http://{near}:{port}/api"


def sentence(name: str) -> str:
    """Return what a setting is for."""
    return str(_meta(_hints()[name]).description)


def is_own_machine(url: str) -> bool:
    """Say whether an address is of this machine: only there is the home's key shown unasked.

    To any other server it would be a stranger's key, given away.
    """
    return (urlsplit(url).hostname or "") in LOOPBACK


def home_key(home: Path) -> str | None:
    """Return the key of the home, None if there is none yet (protocol §11).

    ReeveError if others could have read it.
    """
    return _private_text(home / KEY_FILE, "Remove the file; the server makes a new one")


def make_home_key(home: Path) -> str:
    """Return the key of the home, made now if there is none: two that make it at once get the same."""
    return home_key(home) or _made_private(home / KEY_FILE, lambda token: f"reeve_{token}", home_key)


def secrets_key(home: Path) -> str | None:
    """Return the keys of the home's blocks, None if there are none yet; ReeveError if others could read."""
    return _private_text(home / SECRETS_FILE, "Put the keys back: what they sealed opens with no others")


def make_secrets_key(home: Path) -> str:
    """Return the keys of the home's blocks, one made now if there are none."""
    return secrets_key(home) or _made_private(home / SECRETS_FILE, lambda token: token, secrets_key)


def add_secrets_key(home: Path) -> str:
    """Add a new key to the home's, which seals from now on, and return all of them."""
    import secrets

    return _replace_secrets_keys(home, [*make_secrets_key(home).split(), secrets.token_urlsafe(KEY_BYTES)])


def drop_old_secrets_keys(home: Path) -> None:
    """Keep the newest key of the home's blocks alone."""
    _replace_secrets_keys(home, make_secrets_key(home).split()[-1:])


def _replace_secrets_keys(home: Path, keys: Sequence[str]) -> str:
    text = "\n".join(keys) + "\n"
    draft = _private_draft(home / SECRETS_FILE, text)
    try:
        draft.replace(home / SECRETS_FILE)
    except BaseException:
        draft.unlink()
        raise
    # What is sealed next must not outlive its key: the name has to be on the disk too.
    directory = os.open(home, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
    return text


def _private_text(path: Path, remedy: str) -> str | None:
    """Return what a file holds that nobody else may read; ``remedy``: what to do when it holds nothing."""
    try:
        with path.open() as file:
            mode = os.fstat(file.fileno()).st_mode
            text = file.read().strip()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ReeveError(f"The key {path} cannot be read: {error.strerror}") from None
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise ReeveError(f"The key {path} is open to others. Close it with: chmod 600 {path}")
    if not text:
        raise ReeveError(f"The key {path} is empty. {remedy}")
    return text


def _made_private(path: Path, line: Callable[[str], str], read: Callable[[Path], str | None]) -> str:
    """Make the file of a key out of 256 random bits, unless another was quicker, and read it."""
    import secrets

    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = _private_draft(path, line(secrets.token_urlsafe(KEY_BYTES)) + "\n")
    try:
        # A link appears whole or not at all, and replaces nothing; a file made in place could be read empty.
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()
    key = read(path.parent)
    assert key is not None, "the key was just written"
    return key


def _private_draft(path: Path, text: str) -> Path:
    """Write a text beside a path, for this user's eyes alone and safe on the disk; return where."""
    import secrets

    draft = path.with_name(f".{path.name}-{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    return draft


def _hints() -> dict[str, Any]:
    return get_type_hints(Settings, include_extras=True)


def _meta(hint: Any) -> Meta:
    return next(extra for extra in hint.__metadata__ if isinstance(extra, Meta))


def _home(environ: Mapping[str, str], options: Mapping[str, object]) -> tuple[Path, Origin]:
    if "home" in options:
        return _directory(str(options["home"])), Origin(Source.OPTION, "--home")
    if environ.get(f"{PREFIX}HOME"):
        return _directory(environ[f"{PREFIX}HOME"]), Origin(Source.ENVIRONMENT, f"{PREFIX}HOME")
    return _directory("~/.reeve"), Origin(Source.DEFAULT)


def _directory(text: str) -> Path:
    return Path(os.path.abspath(Path(text).expanduser()))  # noqa: PTH100  # resolve() would follow links


_Layer = list[tuple[str, Any, Origin]]


def _file(home: Path, hints: Mapping[str, Any]) -> _Layer:
    """Read the settings file, if there is one."""
    path = home / FILE
    try:
        text = path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return []
    except (OSError, UnicodeDecodeError) as error:
        raise ReeveError(f"The settings file {path} cannot be read: {error}") from None
    import tomllib

    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InvalidInputError(f"{path} is not TOML: {error}", field=FILE) from None
    layer: _Layer = []
    for name, value in table.items():
        origin = Origin(Source.FILE, _place(path, text, name))
        if name not in hints or name == "home":
            raise InvalidInputError(f"{origin.place}: {_unknown(name, hints)}", field=name)
        layer.append((name, value, origin))
    return layer


def _place(path: Path, text: str, name: str) -> str:
    """Name the line on which a key of the settings file stands."""
    pattern = re.compile(rf"""\s*(\[+\s*)?["']?{re.escape(name)}["']?\s*[=.\]]""")
    lines = (number for number, line in enumerate(text.splitlines(), 1) if pattern.match(line))
    return f"{path}, line {next(lines, 1)}"


def _unknown(name: str, hints: Mapping[str, Any]) -> str:
    if name == "home":
        return f"the home cannot be set in its own file. Use {PREFIX}HOME"
    near = get_close_matches(name, set(hints) - {"home"}, n=1)
    hint = f"Did you mean {near[0]!r}?" if near else "See: reeve config show"
    return f"there is no setting {name!r}. {hint}"


def _environment(environ: Mapping[str, str], hints: Mapping[str, Any]) -> _Layer:
    """Take the variables that are set; an empty one counts as not set, as shells treat it."""
    names = ((name, f"{PREFIX}{name.upper()}") for name in hints if name != "home")
    return [
        (name, environ[variable], Origin(Source.ENVIRONMENT, variable))
        for name, variable in names
        if environ.get(variable)
    ]


def _options(options: Mapping[str, object]) -> _Layer:
    return [
        (name, value, Origin(Source.OPTION, f"--{name.removeprefix('server_').replace('_', '-')}"))
        for name, value in options.items()
        if name != "home"
    ]


def _convert(value: Any, hint: Any, origin: Origin) -> Any:
    try:
        return msgspec.convert(value, hint, strict=False)  # "4200" is a port too: variables are texts
    except msgspec.ValidationError:
        must_be = (_meta(hint).extra or {})["must_be"]
        shown = repr(value) if "://" not in str(value) else repr(masked_url(str(value)))
        raise InvalidInputError(
            f"{origin.place} must be {must_be}, not {shown}", field=origin.place
        ) from None


def _check_lease(settings: Settings, origins: Mapping[str, Origin]) -> None:
    latest = settings.lease_seconds - settings.lease_margin_seconds
    if settings.renew_seconds >= latest:
        named = [
            origins[name].place or name for name in ("renew_seconds", "lease_seconds", "lease_margin_seconds")
        ]
        message = (
            f"{named[0]} must be below {named[1]} less {named[2]} ({latest:g}), or leases end by themselves"
        )
        raise InvalidInputError(message, field=named[0])


def masked_url(url: str) -> str:
    """Return a URL without its password, fit to be shown; the last @ ends one, whatever it holds."""
    return re.sub(r"([?&]password=)[^&]*", r"\1***", re.sub(r"(://[^:/@]*):.*@", r"\1:***@", url))


def shown(name: str, value: object) -> str:
    """Return a value as it may be shown: keys and passwords masked."""
    if value is None:
        return ""
    if name in SECRET:
        return "***"
    return masked_url(str(value)) if name.endswith("_url") else str(value)
