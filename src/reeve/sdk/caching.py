"""Under which key a task's result is found again."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec
from msgspec import Struct

from reeve.core.results import reference_in
from reeve.core.runs import LONGEST_CACHE_KEY
from reeve.decoders import decoder
from reeve.errors import InvalidInputError
from reeve.sdk.storage import Storage

if TYPE_CHECKING:
    from reeve.sdk.context import RunInfo


@dataclass(frozen=True, slots=True)
class CacheContext:
    """What a function that makes cache keys is told: the task, and the run it is asked for."""

    task: Any  # a Task, which is made of this module
    task_run: RunInfo


CacheKeyFn: TypeAlias = Callable[[CacheContext, dict[str, Any]], str | None]


def INPUTS(context: CacheContext, parameters: Mapping[str, Any]) -> str:  # noqa: N802  # reads as a value: cache_by=INPUTS
    """Make a key of the task, its code and all its parameters: other inputs or other code, another key.

    The code of functions that the task calls is not looked at. Raises NoDigestError for a parameter that
    cannot be told from others.
    """
    from reeve.sdk.digests import digest, function_digest  # only tasks that are cached need it

    return digest((context.task.key, function_digest(context.task.fn), dict(parameters)))


task_input_hash = INPUTS  # as 2.20 calls it: a program that is ported keeps its words


def by_template(template: str) -> CacheKeyFn:
    """Make keys of a text with placeholders for parameters; each task has its own."""

    def key(context: CacheContext, parameters: Mapping[str, Any]) -> str:
        return f"{context.task.key}:{template.format_map(parameters)}"

    return key


def key_function(
    owner: str, cache_key_fn: CacheKeyFn | None, cache_by: CacheKeyFn | str | None
) -> CacheKeyFn | None:
    """Return what makes the keys; InvalidInputError if two things would."""
    if cache_key_fn is not None and cache_by is not None:
        raise InvalidInputError(f"{owner}: give cache_by or cache_key_fn, not both", field="cache_by")
    return by_template(cache_by) if isinstance(cache_by, str) else cache_by or cache_key_fn


def expiration(owner: str, given: float | dt.timedelta | None) -> dt.timedelta | None:
    """Return how long a result is good for; a number means seconds."""
    if given is None:
        return None
    period = given if isinstance(given, dt.timedelta) else dt.timedelta(seconds=given)
    if period <= dt.timedelta():
        message = f"{owner}: cache_expiration must be more than 0, got {given!r}"
        raise InvalidInputError(message, field="cache_expiration")
    return period


class Caching(Struct, frozen=True, kw_only=True):
    """How one run is cached. ``key`` may ask the user's code; ``good_for``: until it is forgotten."""

    key: Callable[[], str | None]
    good_for: dt.timedelta | None = None
    refresh: bool = False


def checked_key(key: object) -> str | None:
    """Return a key that was made; InvalidInputError for what is none."""
    if key is None:
        return None
    if not isinstance(key, str) or len(key) > LONGEST_CACHE_KEY:
        raise InvalidInputError(
            f"A cache key must be a text of at most {LONGEST_CACHE_KEY} characters, got {str(key)[:50]!r}"
        )
    return key or None


class _Entry(msgspec.Struct):
    data: Any
    expires: dt.datetime | None = None


class Shelf:
    """The cache of runs that no server knows: references by key, in the storage of the results."""

    def __init__(self, storage: Callable[[], Storage]) -> None:
        self._storage = storage

    def find(self, key: str, now: dt.datetime) -> Any:
        """Return the data of the state that is found under a key; None if there is none, or no more."""
        content = self._storage().read(_file(key))
        if content is None:
            return None
        try:
            entry = decoder(_Entry).decode(content)
        except msgspec.DecodeError:
            return None
        if entry.expires is not None and entry.expires <= now:
            return None
        return entry.data if reference_in(entry.data) else None

    def keep(self, key: str, data: Any, expires: dt.datetime | None) -> None:
        """Have data found under a key from now on."""
        self._storage().write(_file(key), msgspec.json.encode(_Entry(data, expires)))


def _file(key: str) -> str:
    from hashlib import sha256  # OpenSSL costs each start 5 ms

    return f"cache/{sha256(key.encode('utf-8', 'surrogatepass')).hexdigest()}.json"
