"""The engine against a model: made-up flows of tasks that fail, end themselves, are cached, need each other.

The model is a loop over the tasks in their order. It knows neither scripts nor rules, threads nor loops; it
says how each task ends, how often its code is executed, and which hooks hear of it.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st

from reeve import Completed, EndRun, Failed, Task, allow_failure, flow, task
from reeve.testing import House
from reeve.testing import house as opened

# How a try of a task ends.
RETURNS, RAISES, RAISES_OTHER = "returns", "raises", "raises another"
RETURNS_FAILED, ENDS_COMPLETED, ENDS_FAILED = "returns Failed", "ends Completed", "ends Failed"
IS_LATE = "is late"  # of all tries of a task, or of none: its time-out must be short
GOOD = frozenset({RETURNS, ENDS_COMPLETED})
OUTCOMES = (RETURNS, RAISES, RAISES_OTHER, RETURNS_FAILED, ENDS_COMPLETED, ENDS_FAILED)


class OtherError(Exception):
    """What ``retry_on`` does not name."""


@dataclass(frozen=True)
class Spec:
    """A task. ``outcomes``: of its tries, the last one again for more. ``needs``: an earlier task."""

    outcomes: tuple[str, ...] = (RETURNS,)
    retries: int = 0
    choosy: bool = False  # retries what raises, and nothing else
    needs: int | None = None
    tolerant: bool = False
    key: str | None = None  # under which it is cached
    persists: bool = False  # its value, which a later try of the flow finds again; not for the tolerant


@dataclass(frozen=True)
class Program:
    """A flow that calls these tasks one after the other, and fails if one of them has.

    Of its own hooks (key -1) the model knows as well.
    """

    tasks: tuple[Spec, ...]
    retries: int = 0


@dataclass
class Told:
    """What was seen, or is predicted. By the index of the task."""

    state: str = ""
    tries: int = 0
    ends: list[str] = field(default_factory=list)  # of the last try of the flow
    executions: Counter[int] = field(default_factory=Counter)
    hooks: dict[int, list[str]] = field(default_factory=lambda: defaultdict(list))
    given: dict[int, list[Any]] = field(default_factory=lambda: defaultdict(list))


# --- the model ------------------------------------------------------------------------------------


class Model:
    """Predicts. A value is ``value of N``, N the task whose code made it; an error is ``error``."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.told = Told()
        self.cache: dict[str, str] = {}
        # Values that a later try of the flow finds again, and what each was made of.
        self.kept: dict[int, tuple[str | None, str]] = {}

    def predict(self) -> Told:
        for _ in range(self.program.retries + 1):
            self.told.tries += 1
            self.told.hooks[-1].append("RUNNING")
            self.told.ends = []
            values: list[str] = []
            for index, spec in enumerate(self.program.tasks):
                end, value = self.call(index, spec, values)
                self.told.ends.append(end)
                values.append(value)
            if "FAILED" not in self.told.ends:
                break
        self.told.state = "FAILED" if "FAILED" in self.told.ends else "COMPLETED"
        self.told.hooks[-1].append(self.told.state)
        return self.told

    def call(self, index: int, spec: Spec, values: list[str]) -> tuple[str, str]:
        hooks = self.told.hooks[index]
        if spec.needs is not None and values[spec.needs] == "error" and not spec.tolerant:
            hooks.append("FAILED")
            return "FAILED", "error"
        given = None if spec.needs is None else values[spec.needs]
        made_of, value = self.kept.get(index, ("nothing", ""))
        if spec.key not in self.cache and made_of == given:
            return "COMPLETED", value
        if spec.key in self.cache:  # also by this very task: each time it is a state that hooks hear of
            value = self.cache[spec.key]
            hooks.append("COMPLETED")
        elif not self.execute(index, spec, values):
            hooks.append("FAILED")
            return "FAILED", "error"
        else:
            value = f"value of {index}"
            hooks.append("COMPLETED")
        if spec.key is not None:
            self.cache[spec.key] = value
        if spec.persists:
            self.kept[index] = given, value
        return "COMPLETED", value

    def execute(self, index: int, spec: Spec, values: list[str]) -> bool:
        if IS_LATE in spec.outcomes:  # on a busy machine perhaps before its code has begun: that is not noted
            return False
        for _ in range(spec.retries + 1):
            self.told.given[index].append(None if spec.needs is None else values[spec.needs])
            outcome = spec.outcomes[min(self.told.executions[index], len(spec.outcomes) - 1)]
            self.told.executions[index] += 1
            if outcome in GOOD:
                return True
            if spec.choosy and outcome != RAISES:
                return False
        return False


# --- the engine -----------------------------------------------------------------------------------


class Engine:
    """Makes a flow of a program, and notes what becomes of it."""

    def __init__(self, program: Program, place: Path) -> None:
        self.program = program
        self.place = place
        self.told = Told()

    def body(self, index: int, spec: Spec, given: Any) -> Any:
        self.told.given[index].append("error" if isinstance(given, Exception) else given)
        outcome = spec.outcomes[min(self.told.executions[index], len(spec.outcomes) - 1)]
        self.told.executions[index] += 1
        value = f"value of {index}"
        match outcome:
            case "returns":
                return value
            case "raises":
                raise ValueError(value)
            case "raises another":
                raise OtherError(value)
            case "returns Failed":
                return Failed(value)
            case "ends Completed":
                raise EndRun(Completed(value=value))
            case "ends Failed":
                raise EndRun(Failed(value))

    def hook(self, index: int) -> Any:
        def hook(_flow_or_task: Any, _run: Any, state: Any) -> None:
            self.told.hooks[index].append(state.type.value)

        return hook

    def flow_options(self) -> dict[str, Any]:
        hook = self.hook(-1)
        hooks = {"on_running": hook, "on_completion": hook, "on_failure": hook}
        return {"name": "program", "retries": self.program.retries, **hooks}

    def options(self, index: int, spec: Spec) -> dict[str, Any]:
        return {
            "name": f"t{index}",
            "retries": spec.retries,
            "retry_on": ValueError if spec.choosy and spec.retries else None,
            "timeout_seconds": 0.01 if IS_LATE in spec.outcomes else None,
            "cache_key_fn": None if spec.key is None else lambda *_: spec.key,
            "persist_result": spec.persists or None,
            "result_storage": str(self.place),
            "on_completion": self.hook(index),
            "on_failure": self.hook(index),
        }

    def tasks(self) -> Iterator[tuple[Spec, Task[Any, Any]]]:
        for index, spec in enumerate(self.program.tasks):
            yield spec, task(**self.options(index, spec))(self.function(index, spec))

    def function(self, index: int, spec: Spec) -> Any:
        def do(given: Any = None) -> Any:
            if IS_LATE in spec.outcomes:
                while True:
                    time.sleep(0.0005)
            return self.body(index, spec, given)

        do.__qualname__ = f"t{index}"  # of its own: a task is known by it
        return do

    def arguments(self, spec: Spec, futures: list[Any]) -> list[Any]:
        if spec.needs is None:
            return []
        needed = futures[spec.needs]
        return [allow_failure(needed) if spec.tolerant else needed]

    def flow(self) -> Any:
        tasks = list(self.tasks())

        @flow(**self.flow_options())
        def program() -> Any:
            self.told.tries += 1
            futures: list[Any] = []
            for spec, one in tasks:
                futures.append(one.submit(*self.arguments(spec, futures)))
                futures[-1].wait()
            self.told.ends = [future.state.type.value for future in futures]
            return futures

        return program

    def run(self) -> Told:
        self.told.state = self.flow().run().type.value
        return self.told


class AsyncEngine(Engine):
    """The same program, all of it async."""

    def function(self, index: int, spec: Spec) -> Any:
        async def do(given: Any = None) -> Any:
            await asyncio.sleep(0)
            if IS_LATE in spec.outcomes:
                await asyncio.Event().wait()
            return self.body(index, spec, given)

        do.__qualname__ = f"t{index}"
        return do

    def flow(self) -> Any:
        tasks = list(self.tasks())

        @flow(**self.flow_options())
        async def program() -> Any:
            self.told.tries += 1
            futures: list[Any] = []
            for spec, one in tasks:
                futures.append(one.submit(*self.arguments(spec, futures)))
                await futures[-1].settled()
            self.told.ends = [future.state.type.value for future in futures]
            return futures

        return program

    def run(self) -> Told:
        async def call() -> str:
            state = await self.flow().run()
            return str(state.type.value)

        self.told.state = asyncio.run(call())
        return self.told


# --- what is drawn --------------------------------------------------------------------------------

OF_TRIES = st.one_of(
    st.lists(st.sampled_from(OUTCOMES), min_size=1, max_size=4).map(tuple),
    st.just((RAISES, RAISES, RETURNS)),
    st.just((IS_LATE,)),
)


@st.composite
def programs(draw: st.DrawFn) -> Program:
    """Draw a flow of up to five tasks."""
    specs = (
        Spec(
            outcomes=draw(OF_TRIES),
            retries=draw(st.sampled_from([0, 0, 1, 2])),
            choosy=draw(st.booleans()),
            needs=draw(st.none() | st.integers(0, index - 1)) if index else None,
            key=draw(st.sampled_from([None, None, "a", "b"])),
            **draw(st.sampled_from([{}, {"persists": True}, {"tolerant": True}])),
        )
        for index in range(draw(st.integers(1, 5)))
    )
    return Program(tuple(specs), retries=draw(st.sampled_from([0, 0, 1])))


number = iter(range(1_000_000))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cached")


KEPT_AND_TRIED_AGAIN = Program(
    (
        Spec(key="a"),
        Spec(key="a"),
        Spec((RAISES, RETURNS)),
        Spec(needs=1, persists=True),
        Spec(needs=2, tolerant=True),
    ),
    retries=1,
)
MADE_OF_SOMETHING_ELSE = Program(  # what task 1 has kept is of no use once task 0 gives it a value
    (
        Spec((RAISES, RETURNS)),
        Spec((RETURNS, RETURNS_FAILED), needs=0, tolerant=True, persists=True),
    ),
    retries=1,
)
NOT_GIVEN_AGAIN = Program(  # what task 1 has kept is of no use when task 0 fails the second time
    (
        Spec((RETURNS, RAISES)),
        Spec(needs=0, persists=True),
        Spec((RAISES,)),
    ),
    retries=1,
)
ALL_KINDS = Program(
    (
        Spec((RAISES, RAISES, RETURNS), retries=2),
        Spec((IS_LATE,), retries=1),
        Spec((RAISES_OTHER, RETURNS), retries=2, choosy=True),
        Spec((ENDS_FAILED, ENDS_COMPLETED), retries=1, needs=1, tolerant=True, key="a"),
        Spec((RETURNS_FAILED,), needs=2),
    )
)
# Without the phase that explains: it traces each line of the engine, which costs ten times the run.
PHASES = tuple(phase for phase in Phase if phase is not Phase.explain)


@settings(max_examples=40, deadline=None, phases=PHASES)
@given(program=programs())
@example(program=KEPT_AND_TRIED_AGAIN)
@example(program=MADE_OF_SOMETHING_ELSE)
@example(program=NOT_GIVEN_AGAIN)
@example(program=ALL_KINDS)
def test_the_engine_does_what_the_model_says(place: Path, program: Program) -> None:
    expected = Model(program).predict()
    assert Engine(program, place / str(next(number))).run() == expected
    assert AsyncEngine(program, place / str(next(number))).run() == expected


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    with opened() as house:
        yield house


@settings(max_examples=5, deadline=None, phases=PHASES)
@given(program=programs(), which=st.sampled_from([Engine, AsyncEngine]))
@example(program=KEPT_AND_TRIED_AGAIN, which=Engine)
@example(program=NOT_GIVEN_AGAIN, which=Engine)
@example(program=ALL_KINDS, which=AsyncEngine)
def test_with_a_server_it_does_the_same(
    house: House, place: Path, program: Program, which: type[Engine]
) -> None:
    """Its keys are the server's: so each program has its own."""
    mark = str(next(number))
    own = Program(
        tuple(_with_key(spec, f"{spec.key} {mark}") if spec.key else spec for spec in program.tasks),
        program.retries,
    )
    assert which(own, place / mark).run() == Model(own).predict()


def _with_key(spec: Spec, key: str) -> Spec:
    return replace(spec, key=key)
