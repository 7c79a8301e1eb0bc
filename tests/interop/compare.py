"""Two records of the same program, compared with ids, instants and made-up names out of sight."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import chain
from typing import Any

from tests.interop.proxy import Exchange

Key = tuple[str, str, str]  # method, path, what was asked
Answers = dict[Key, set[str]]

_UUID = re.compile(r"[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}")
_INSTANT = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?([+-]\d\d:\d\d|Z)?")
_SLUG = re.compile(r"[a-z]+-[a-z]+")
_QUOTED_SLUG = re.compile(r"'[a-z]+-[a-z]+'")
_CHECKSUM = re.compile(r"[0-9a-f]{64}")  # before the ids, of which it would seem to be two
_HASH = re.compile(r"[0-9a-f]{32,63}")

# Lengths of time, which differ from run to run, and where the words of a made-up name stand.
_LENGTHS = frozenset(
    {
        *("total_run_time", "estimated_run_time", "estimated_start_time_delta", "lateness"),
        "duration",
        *("sum_estimated_run_time", "sum_estimated_lateness"),
    }
)
_MADE_UP = frozenset({"name", "generated_name"})
# Lists whose order 2.20 leaves to chance.
_SETS = frozenset({"capabilities", "block_capabilities", "tags"})


def answers(exchanges: Iterable[Exchange], places: Mapping[str, str]) -> Answers:
    """Return what was answered to each thing that was asked; ``places`` are texts that must differ.

    Sets, since polls come as often as they come, and threads in any order.
    """
    found: Answers = defaultdict(set)
    for each in chain.from_iterable(map(_lines, exchanges)):
        path = mask(each.path, places)
        if each.status == 503:  # the database of 2.20 was locked, and the client asks again
            continue
        last = each.path.rstrip("/").rpartition("/")[2]
        reply = {
            "status": each.status,
            "headers": mask(each.headers, places),
            "body": mask(each.answered, places, last),
        }
        found[each.method, path, _text(mask(each.asked, places))].add(_text(reply))
    return dict(found)


def _lines(exchange: Exchange) -> Iterable[Exchange]:
    """Return an exchange, or one for each line of a batch of logs, which is cut by the clock."""
    if exchange.path != "/api/logs/" or not isinstance(exchange.asked, list):
        return [exchange]
    return [replace(exchange, asked=[line]) for line in exchange.asked]


def mask(value: Any, places: Mapping[str, str], name: str = "") -> Any:
    """Return a JSON value with whatever differs between two runs of one program replaced by its kind."""
    if isinstance(value, dict):
        return {_masked(key, places): mask(each, places, key) for key, each in value.items()}
    if name in _SETS and isinstance(value, list):
        return sorted(value)
    if isinstance(value, list):
        return [mask(each, places, name) for each in value]
    if name in _LENGTHS and isinstance(value, int | float):
        return "<seconds>"
    if name in _MADE_UP and isinstance(value, str) and _SLUG.fullmatch(value):
        return "<made up>"
    return _masked(value, places) if isinstance(value, str) else value


def _masked(text: str, places: Mapping[str, str]) -> str:
    for place, kind in places.items():
        text = text.replace(place, kind)
    for pattern, kind in (
        (_CHECKSUM, "<checksum>"),
        (_UUID, "<id>"),
        (_INSTANT, "<instant>"),
        (_HASH, "<hash>"),
        (_QUOTED_SLUG, "'<made up>'"),
    ):
        text = pattern.sub(kind, text)
    return text


def differences(theirs: Answers, ours: Answers) -> Iterator[str]:
    """Yield what differs, a line each: what one side alone was asked, and where the answers part."""
    for key in sorted(theirs.keys() - ours.keys()):
        yield f"{_name(key)}: asked of theirs alone: {key[2][:200]}"
    for key in sorted(ours.keys() - theirs.keys()):
        yield f"{_name(key)}: asked of ours alone: {key[2][:200]}"
    for key in sorted(theirs.keys() & ours.keys()):
        missing, additional = sorted(theirs[key] - ours[key]), sorted(ours[key] - theirs[key])
        for wanted, given in zip(missing, additional, strict=False):
            yield from (f"{_name(key)}: {each}" for each in _between(wanted, given))
        for wanted in missing[len(additional) :]:
            parts = _nearest((wanted, given) for given in sorted(ours[key]))
            yield from (f"{_name(key)}: answered by theirs alone: {each}" for each in parts)
        for given in additional[len(missing) :]:
            parts = _nearest((wanted, given) for wanted in sorted(theirs[key]))
            yield from (f"{_name(key)}: answered by ours alone: {each}" for each in parts)


def _nearest(pairs: Iterable[tuple[str, str]]) -> list[str]:
    """Return in what the two answers differ that are most alike."""
    return min((_between(*pair) for pair in pairs), key=len)


def _between(theirs: str, ours: str) -> list[str]:
    return list(_parts(json.loads(theirs), json.loads(ours)))


def _parts(theirs: Any, ours: Any, where: str = "") -> Iterator[str]:
    """Yield the places in which two JSON values differ."""
    if isinstance(theirs, dict) and isinstance(ours, dict):
        for key in sorted(theirs.keys() | ours.keys()):
            if key not in ours:
                yield f"{where}.{key} is missing, theirs {_text(theirs[key])[:200]}"
            elif key not in theirs:
                yield f"{where}.{key} is additional: {_text(ours[key])[:200]}"
            else:
                yield from _parts(theirs[key], ours[key], f"{where}.{key}")
    elif isinstance(theirs, list) and isinstance(ours, list):
        if len(theirs) != len(ours):
            yield f"{where} has {len(ours)}, theirs {len(theirs)}"
        for old, new in zip(theirs, ours, strict=False):
            yield from _parts(old, new, f"{where}[]")
    elif theirs != ours:
        yield f"{where} is {_text(ours)[:200]}, theirs {_text(theirs)[:200]}"


def _name(key: Key) -> str:
    return f"{key[0]} {key[1]}"


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True)
