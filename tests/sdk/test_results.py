"""Results that outlive their process."""

from __future__ import annotations

import asyncio
import datetime as dt
import enum
import json
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.sdk.api import Api
from tests.sdk.conftest import Launch

from reeve import Completed, ResultError, State, flow, task
from reeve.core.results import ResultFormat, reference_in
from reeve.core.states import StateType, propose
from reeve.errors import InvalidInputError
from reeve.sdk.formats import UnsuitableResultError, decode, encode


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("REEVE_RESULTS", str(tmp_path / "results"))
    return tmp_path / "results"


def files(place: Path) -> list[Path]:
    return sorted(one for one in place.rglob("*") if one.is_file())


@dataclass
class Row:
    day: dt.date
    at: dt.datetime
    names: dict[str, tuple[int, ...]] = field(default_factory=dict)


class Size(enum.Enum):
    SMALL = "s"


class Pair(NamedTuple):
    left: int
    right: str


class Model(pydantic.BaseModel):
    day: dt.date
    rows: list[Row] = []


NOW = dt.datetime(2026, 1, 31, 8, tzinfo=dt.UTC)
ROW = Row(NOW.date(), NOW, {"x": (1, 2)})


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        (None, Any),
        ({"a": [1, 2.5, "x", None, True]}, Any),
        (NOW, dt.datetime),
        (NOW.date(), dt.date | None),
        (ROW, Row),
        ([ROW], list[Row]),
        ({3: {1, 2}}, dict[int, set[int]]),
        (Size.SMALL, Size),
        (Pair(1, "x"), Pair),
        ((1, "x"), tuple[int, str]),
        (Path("/tmp/x"), Path),
        (b"\x00\xff", bytes),
        (uuid.UUID(int=5), uuid.UUID),
        (Model(day=NOW.date(), rows=[ROW]), Model),
        ([Model(day=NOW.date())], list[Model]),
        ({"m": Model(day=NOW.date())}, dict[str, Model]),
    ],
)
def test_json_brings_back_what_the_annotation_says(value: object, hint: object) -> None:
    back = decode(encode(value, ResultFormat.JSON, hint), ResultFormat.JSON, hint)
    assert back == value
    assert type(back) is type(value)


@pytest.mark.parametrize("value", [(1, 2), NOW, ROW, {1: 2}, {1}, float("nan"), object(), Size.SMALL, len])
def test_json_takes_nothing_that_would_come_back_as_something_else(value: object) -> None:
    with pytest.raises(UnsuitableResultError, match="choose result_format='pickle'"):
        encode(value, ResultFormat.JSON, Any)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.tuples(inner) | st.dictionaries(st.text() | st.integers(), inner),
    max_leaves=8,
)


@given(_JSON)
def test_what_is_written_comes_back(value: object) -> None:
    for format_ in ResultFormat:
        try:
            content = encode(value, format_, Any)
        except UnsuitableResultError:
            continue
        assert repr(decode(content, format_, Any)) == repr(value)


def test_a_state_says_where_its_value_is(place: Path) -> None:
    @task(persist_result=True)
    def row() -> Row:
        return ROW

    state = row.run()
    reference = reference_in(state.proposed.data)
    assert reference is not None
    (file,) = files(place)
    assert reference.place == str(file)
    assert (reference.format, reference.size) == ("json", len(file.read_bytes()))
    assert json.loads(file.read_text())["day"] == "2026-01-31"
    assert "2026" not in json.dumps(state.proposed.data["artifact_description"])
    assert state.result() is ROW

    elsewhere: State[Any] = State(propose(StateType.COMPLETED, data=state.proposed.data))
    assert elsewhere.result() == {"day": "2026-01-31", "at": "2026-01-31T08:00:00Z", "names": {"x": [1, 2]}}
    file.unlink()
    assert elsewhere.result()["day"] == "2026-01-31"  # read once
    with pytest.raises(ResultError, match="is not there"):
        State(propose(StateType.COMPLETED, data=state.proposed.data)).result()


def test_a_changed_file_is_noticed(place: Path) -> None:
    data = task(persist_result=True)(one).run().proposed.data
    files(place)[0].write_text("2")
    with pytest.raises(ResultError, match="is not what was written there"):
        State(propose(StateType.COMPLETED, data=data)).result()


def one() -> int:
    return 1


def test_a_pickle_is_read_only_where_it_is_asked_for(place: Path) -> None:
    @task(persist_result=True, result_format="pickle")
    def strange() -> object:
        return {1, (2, NOW)}

    data = strange.run().proposed.data
    assert files(place)[0].suffix == ".pickle"
    state: State[Any] = State(propose(StateType.COMPLETED, data=data))
    with pytest.raises(ResultError, match="is a pickle, which runs code"):
        state.result()
    assert state.result(unpickle=True) == {1, (2, NOW)}


def test_what_cannot_be_written_is_told_and_goes_on(caplog: pytest.LogCaptureFixture, place: Path) -> None:
    @task(persist_result=True)
    def handle() -> object:
        return len

    @flow
    def main() -> bool:
        return handle.submit().result() is len

    assert main()
    assert "Task 'handle': its result is not persisted: JSON has no words" in caplog.text
    assert handle.run().proposed.data == {"type": "unpersisted"}
    assert files(place) == []


def test_a_place_that_cannot_be_written_costs_no_result(
    caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    assert task(persist_result=True, result_storage=tmp_path / "file")(one)() == 1
    assert "could not be written" in caplog.text


def test_tasks_do_as_their_flow_says(place: Path, tmp_path: Path) -> None:
    @task
    def plain() -> int:
        return 1

    @task(persist_result=False)
    def private() -> int:
        return 2

    @flow(persist_result=True, result_storage=tmp_path / "flow", result_format="pickle")
    def main() -> int:
        inner()
        return plain() + private()

    @flow(result_format="json")
    def inner() -> int:
        return 5

    assert main() == 3
    assert sorted(one.suffix for one in files(tmp_path / "flow")) == [".json", ".pickle", ".pickle"]
    assert files(place) == []


def test_async_runs_and_returned_states(place: Path) -> None:
    @task(persist_result=True)
    async def later() -> int:
        await asyncio.sleep(0)
        return 1

    @flow(persist_result=True)
    async def main() -> object:
        return Completed("fine", name="Fine", value=await later())

    state = asyncio.run(main.run())
    assert (state.name, state.message, state.result()) == ("Fine", "fine", 1)
    assert [one.read_text() for one in files(place)] == ["1", "1"]


@pytest.mark.parametrize("where", ["file", "memory"])
def test_a_url_is_a_place_too(where: str, tmp_path: Path) -> None:
    storage = f"file://{tmp_path}/r" if where == "file" else f"memory://{uuid.uuid4()}/deep"
    state = task(persist_result=True, result_storage=storage)(one).run()
    assert State(propose(StateType.COMPLETED, data=state.proposed.data)).result() == 1
    reference = reference_in(state.proposed.data)
    assert reference is not None
    assert reference.storage == storage


def test_a_second_try_reads_what_the_first_has_done() -> None:
    calls: list[int] = []
    tries: list[int] = []

    @task(persist_result=True)
    def square(x: int) -> int:
        calls.append(x)
        return x * x

    @task
    def forgets(x: int) -> int:
        calls.append(-x)
        return x

    @flow(retries=2)
    def main() -> int:
        tries.append(1)
        total = sum(square.map([1, 2]).result()) + forgets(1) + square(len(tries))
        if len(tries) < 3:
            raise OSError("again")
        return total

    assert main() == 5 + 1 + 9
    # The last call is made with other parameters each time, so its earlier result is of no use.
    assert calls.count(-1) == 3
    assert sorted(one for one in calls if one > 0) == [1, 1, 2, 2, 3]


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({"result_format": "xml"}, "result_format must be 'json' or 'pickle'"),
        ({"cache_by": "x", "persist_result": False}, "leave persist_result=False out"),
    ],
)
def test_options_are_checked(options: dict[str, Any], names: str) -> None:
    with pytest.raises(InvalidInputError, match=names):
        task(**options)(one)


# In the process of a run.


def test_a_server_is_told_the_reference(api: Api, launch: Launch, tmp_path: Path) -> None:
    run_id = api.add_run()
    assert launch(run_id, "keeps.py:main", {"folder": str(tmp_path)}).wait() == 0
    told = [api.history[run.id][-1].data for run in api.task_runs.values()]
    assert [data["type"] for data in told] == ["reeve-result"] * 3
    state: State[Any] = State(propose(StateType.COMPLETED, data=api.history[run_id][-1].data))
    assert state.result() == [1, 4, 9]


def test_a_later_attempt_reads_what_an_earlier_one_has_done(api: Api, launch: Launch, tmp_path: Path) -> None:
    run_id = api.add_run()
    parameters = {"folder": str(tmp_path), "dies": True}
    assert launch(run_id, "keeps.py:main", parameters).wait() == -9
    assert (tmp_path / "calls").read_text() == "1 2 "
    victim = next(run for run in api.task_runs.values() if run.name == "square-0")
    reference = reference_in(api.history[victim.id][-1].data)
    assert reference is not None
    Path(reference.place).unlink()
    api.enter(run_id, StateType.PENDING)
    assert launch(run_id, "keeps.py:main", {"folder": str(tmp_path)}, attempt_number=2).wait() == 0
    # The one whose file was lost, and the one that had not been called.
    assert (tmp_path / "calls").read_text() == "1 2 1 3 "
    assert api.names(run_id)[-1] == "Completed"
    assert any("is made anew" in message for message in api.messages())
