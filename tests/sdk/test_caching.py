"""Tasks whose results are found again."""

from __future__ import annotations

import asyncio
import copy
import datetime as dt
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.sdk.api import Api
from tests.sdk.conftest import Launch

from reeve import INPUTS, CacheContext, Task, flow, task
from reeve.errors import InvalidInputError
from reeve.sdk.digests import NoDigestError, digest, function_digest


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("REEVE_RESULTS", str(tmp_path / "results"))
    return tmp_path / "results"


def counted(calls: list[Any], **options: Any) -> Task[[int], int]:
    def square(x: int) -> int:
        calls.append(x)
        return x * x

    return task(name="square", **options)(square)


def test_the_same_inputs_are_computed_once() -> None:
    calls: list[int] = []
    square = counted(calls, cache_by=INPUTS)
    assert [square(2), square(2), square(3), square.run(2).name] == [4, 4, 9, "Cached"]
    assert calls == [2, 3]
    assert square.run(2).result() == 4


def test_a_template_says_what_counts() -> None:
    calls: list[int] = []

    @task(cache_by="{day:%Y-%m}")
    def month(day: dt.date, noise: int = 0) -> int:
        calls.append(noise)
        return day.month

    @task(cache_by="{day:%Y-%m}")
    def other(day: dt.date) -> str:
        return "other"

    assert [month(dt.date(2026, 1, 1), 1), month(dt.date(2026, 1, 31), 2), month(dt.date(2026, 2, 1), 3)] == [
        1,
        1,
        2,
    ]
    assert calls == [1, 3]
    assert other(dt.date(2026, 1, 1)) == "other"


def test_the_keys_of_2_20() -> None:
    calls: list[int] = []
    asked: list[tuple[object, ...]] = []

    def key(context: CacheContext, parameters: dict[str, Any]) -> str | None:
        asked.append((context.task.name, context.task_run.name, parameters))
        return None if parameters["x"] == 5 else "all"

    square = counted(calls, cache_key_fn=key)
    assert [square(2), square(3), square(5), square(5)] == [4, 4, 25, 25]
    assert calls == [2, 5, 5]
    assert asked[0] == ("square", "square-0", {"x": 2})


@pytest.mark.parametrize("key", [lambda *_: 1 / 0, lambda *_: 5, lambda *_: "x" * 2001])
def test_without_a_key_nothing_is_cached(key: Callable[..., Any], caplog: pytest.LogCaptureFixture) -> None:
    calls: list[int] = []
    square = counted(calls, cache_key_fn=key)
    assert [square(2), square(2)] == [4, 4]
    assert calls == [2, 2]
    assert "It has no cache key, so it is not cached" in caplog.text


def test_what_cannot_be_told_from_others_is_not_cached(caplog: pytest.LogCaptureFixture) -> None:
    @task(cache_by=INPUTS)
    def locks(_: object) -> int:
        return 1

    assert locks.run(threading.Lock()).name == "Completed"
    assert "A value of type lock cannot be told from others" in caplog.text


def test_a_result_is_good_for_a_time() -> None:
    calls: list[int] = []
    brief = counted(calls, cache_by=INPUTS, cache_expiration=dt.timedelta(microseconds=1))
    long = counted(calls, cache_by=INPUTS, cache_expiration=3600)
    assert [brief(2), brief(2)] == [4, 4]
    assert calls == [2, 2]
    assert [long(2), long(2)] == [4, 4]
    assert calls == [2, 2, 2]


def test_a_cache_is_refreshed() -> None:
    calls: list[int] = []
    values = iter([1, 2])

    def value() -> int:
        calls.append(1)
        return next(values)

    plain, fresh = task(cache_by=INPUTS)(value), task(cache_by=INPUTS, refresh_cache=True)(value)
    assert [plain(), plain(), fresh(), plain()] == [1, 1, 2, 2]
    assert len(calls) == 2


def test_a_cached_result_that_is_lost_is_made_anew(place: Path, caplog: pytest.LogCaptureFixture) -> None:
    calls: list[int] = []
    square = counted(calls, cache_by=INPUTS)
    square(2)
    for file in place.rglob("*.json"):
        if file.parent.name != "cache":
            file.write_text("damaged")
    assert square(2) == 4
    assert "The result that is there cannot be used" in caplog.text
    assert square(2) == 4
    assert calls == [2, 2]


def test_what_failed_or_could_not_be_kept_is_not_cached() -> None:
    calls: list[int] = []

    @task(cache_by=INPUTS)
    def strange(x: int) -> object:
        calls.append(x)
        if x:
            raise OSError("no")
        return len

    for x in (0, 0, 1, 1):
        strange.run(x)
    assert calls == [0, 0, 1, 1]


def test_async_mapped_and_bound_tasks_are_cached() -> None:
    calls: list[object] = []

    @dataclass
    class Shop:
        price: int

        @task(cache_by=INPUTS)
        async def cost(self, count: int) -> int:
            calls.append((self.price, count))
            return self.price * count

    @flow
    async def main() -> list[int]:
        futures = Shop(5).cost.map([1, 2])
        done = [await future for future in futures]
        return [*done, await Shop(5).cost(2), await Shop(6).cost(2)]

    assert asyncio.run(main()) == [5, 10, 10, 12]
    assert sorted(map(str, calls)) == ["(5, 1)", "(5, 2)", "(6, 2)"]


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({"cache_by": INPUTS, "cache_key_fn": INPUTS}, "give cache_by or cache_key_fn, not both"),
        ({"cache_by": "{y}"}, r"cache_by names \{y\}"),
        ({"cache_by": INPUTS, "cache_expiration": 0}, "cache_expiration must be more than 0"),
    ],
)
def test_options_are_checked(options: dict[str, Any], names: str) -> None:
    with pytest.raises(InvalidInputError, match=names):
        counted([], **options)


def test_a_server_keeps_the_cache(api: Api, launch: Launch, tmp_path: Path) -> None:
    first, second = api.add_run(), api.add_run()
    assert launch(first, "keeps.py:cached", {"folder": str(tmp_path)}).wait() == 0
    assert launch(second, "keeps.py:cached", {"folder": str(tmp_path)}).wait() == 0
    assert (tmp_path / "calls").read_text() == "2 3 "
    assert api.tasks(first)["cube-1"] == ["Pending", "Cached"]
    assert [names[-1] for names in api.tasks(second).values()] == ["Cached"] * 3
    assert api.names(second)[-1] == "Completed"


def test_a_server_is_not_told_a_key_for_what_is_not_there(api: Api, launch: Launch, tmp_path: Path) -> None:
    run_id = api.add_run()
    assert launch(run_id, "keeps.py:not_kept", {"folder": str(tmp_path)}).wait() == 0
    assert (tmp_path / "calls").read_text() == "strange strange "
    assert api.cache == {}
    assert api.tasks(run_id)["strange-1"] == ["Pending", "Running", "Completed"]


# Keys


class Colour(Enum):
    RED = 1


@dataclass
class Point:
    x: Any


_LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary()
    | st.dates()
    | st.datetimes()
    | st.timedeltas()
    | st.decimals(allow_nan=False)
    | st.uuids()
    | st.just(Colour.RED)
)
_VALUES = st.recursive(
    _LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.text(max_size=3), inner, max_size=3)
        | st.frozensets(_LEAVES, max_size=3)
        | inner.map(Point)
    ),
    max_leaves=6,
)


def same(a: Any, b: Any) -> bool:
    """Whether two values are the same, types included and the order of mappings and sets aside."""
    if type(a) is not type(b):
        return False
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(same(one, other) for one, other in zip(a, b, strict=True))
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, frozenset):
        return len(a) == len(b) and all(any(same(one, other) for other in b) for one in a)
    if isinstance(a, Point):
        return same(a.x, b.x)
    return repr(a) == repr(b)


@given(_VALUES)
def test_equal_values_have_one_digest(value: object) -> None:
    assert digest(value) == digest(copy.deepcopy(value))


@given(_VALUES, _VALUES)
def test_digests_are_equal_where_the_values_are(a: object, b: object) -> None:
    assert (digest(a) == digest(b)) is same(a, b)


@given(st.dictionaries(st.text(max_size=5) | st.integers(), _VALUES, max_size=5), st.randoms())
def test_the_order_of_a_mapping_does_not_count(value: dict[Any, Any], chance: Any) -> None:
    items = list(value.items())
    chance.shuffle(items)
    assert digest(value) == digest(dict(items))


@given(st.dictionaries(st.text(max_size=3), _VALUES, max_size=3), _VALUES, _VALUES)
def test_keys_follow_the_inputs(parameters: dict[str, Any], a: Any, b: Any) -> None:
    context = CacheContext(task(name="t")(test_the_keys_of_2_20), None)  # type: ignore[arg-type]  # not asked
    left, right = (INPUTS(context, {**parameters, "it": value}) for value in (a, b))
    assert (left == right) is same(a, b)


@settings(max_examples=30, deadline=None)
@given(_VALUES)
def test_how_an_input_is_given_does_not_count(value: Any) -> None:
    asked: list[str] = []

    def key(context: CacheContext, parameters: dict[str, Any]) -> None:
        asked.append(INPUTS(context, parameters))

    @task(cache_by=key)
    def of(x: Any, y: Any = None, *, z: Any = 3) -> None: ...

    of(value), of(x=value), of(value, None), of(z=3, y=None, x=value)
    assert len(set(asked)) == 1


def test_numbers_that_look_alike_are_others() -> None:
    assert (
        len({digest(value) for value in (1, True, 1.0, "1", b"1", [1], (1,), {1}, {1: None}, 0.0, -0.0)})
        == 11
    )


def test_what_contains_itself_has_no_digest() -> None:
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(NoDigestError, match="contains itself"):
        digest(endless)


def compiled(source: str) -> Any:
    names: dict[str, Any] = {}
    exec(source, names)
    return names["f"]


@pytest.mark.parametrize(
    "other",
    [
        "def f(x): return x + 2",
        "def f(x): return x - 1",
        "def f(x, y=1): return x + 1",
        "def f(x): return (lambda: x + 1)()",
        "def f(x): return y + 1",
        "async def f(x): return x + 1",
        "def make(n):\n    def f(x): return x + n\n    return f\nf = make(1)",
    ],
)
def test_other_code_has_another_digest(other: str) -> None:
    assert function_digest(compiled("def f(x): return x + 1")) != function_digest(compiled(other))


def test_what_is_around_a_function_counts_if_it_stays() -> None:
    source = "def make(n):\n    def f(x): return x + n\n    return f\nf = make(%d)"
    assert function_digest(compiled(source % 1)) != function_digest(compiled(source % 2))
    assert function_digest(compiled("f = 1\n\n\ndef f(x): return x")) == function_digest(
        compiled("def f(x): return x")
    )


def test_every_process_makes_the_same_keys() -> None:
    source = (
        "from reeve.sdk.digests import digest, function_digest\n"
        "def f(x): return x in {'a', 'b', 'c', 'd'} or [y for y in x]\n"
        "print(digest({'a': {'x', 'y', 'z', 'w'}, 'b': frozenset('abcdef')}), function_digest(f))"
    )
    told = {
        subprocess.run(
            [sys.executable, "-c", source],
            env={"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(told) == 1
