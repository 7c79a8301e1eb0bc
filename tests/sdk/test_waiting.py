"""Waiting for several tasks, and going on in spite of those that fail."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from reeve import allow_failure, as_completed, flow, task, unmapped, wait
from reeve.sdk.futures import FutureNotReadyError, UpstreamFailedError


class Gates:
    """Doors that a test opens one by one."""

    def __init__(self, count: int) -> None:
        self.doors = [threading.Event() for _ in range(count)]

    def open(self, number: int) -> None:
        self.doors[number].set()


@task
def passes(gates: Gates, number: int) -> int:
    assert gates.doors[number].wait(20)
    return number


@task
def fails() -> int:
    raise OSError("no")


def test_futures_come_as_they_end() -> None:
    @flow
    def main() -> list[int]:
        gates, order = Gates(3), []
        futures = passes.map(unmapped(gates), range(3))
        gates.open(2)
        for future in as_completed([*futures, futures[0]]):
            order.append(future.result())
            gates.open((order[-1] + 2) % 3)
        return order

    assert main() == [2, 1, 0]


def test_a_failed_future_comes_too() -> None:
    @flow
    def main() -> list[str]:
        states = [future.state for future in as_completed([fails.submit()])]
        return [state.name for state in states if state]

    assert main() == ["Failed"]


def test_waiting_has_an_end() -> None:
    gates = Gates(2)

    @flow
    def main() -> None:
        futures = passes.map(unmapped(gates), range(2))
        gates.open(0)
        ended = iter(as_completed(futures, timeout=0.2))
        assert next(ended) is futures[0]
        with pytest.raises(TimeoutError, match=r"1 of 2 task runs have not ended within 0\.2 s"):
            next(ended)
        assert wait(futures, timeout=0.01) == ({futures[0]}, {futures[1]})
        gates.open(1)
        assert wait(futures).done == set(futures)

    main()


def test_tasks_that_wait_for_tasks_do_not_fill_all_threads() -> None:
    @task
    def leaf(x: int) -> int:
        return x

    @task
    def total(x: int) -> int:
        return sum(future.result() for future in as_completed(leaf.map([x, x])))

    @flow(max_workers=1)
    def main() -> list[int]:
        return total.map([1, 2]).result()

    assert main() == [2, 4]


def test_futures_of_a_loop() -> None:
    @task
    async def later(x: int) -> int:
        for _ in range(x):
            await asyncio.sleep(0)
        return x

    @flow
    async def main() -> list[int]:
        futures = [later.submit(9), later.submit(1)]
        with pytest.raises(FutureNotReadyError):
            wait(futures)
        return [future.result() async for future in as_completed(futures)]

    assert asyncio.run(main()) == [1, 9]

    @flow
    async def overdue() -> None:
        gates = Gates(1)
        with pytest.raises(TimeoutError, match="1 of 1 task runs"):
            async for _ in as_completed([passes.submit(gates, 0)], timeout=0.05):
                pass
        gates.open(0)

    asyncio.run(overdue())


def test_a_task_may_start_though_its_input_failed() -> None:
    @task
    def sees(value: Any, more: Any = None) -> str:
        return f"{value!r} {more!r}"

    @flow
    def main() -> list[str]:
        bad, good = fails.submit(), sees.submit(1)
        seen = [
            sees.submit(allow_failure(bad)),
            sees.submit(allow_failure(good), more={"x": [allow_failure(bad), allow_failure(5)]}),
            sees.submit(2, wait_for=[allow_failure(bad)]),
            sees.submit(allow_failure([bad, 3])),
            *sees.map(allow_failure([bad, good]), allow_failure(unmapped(bad))),
        ]
        with pytest.raises(UpstreamFailedError):
            sees.submit([allow_failure(bad), bad]).result()
        bad.wait()
        return [future.result() for future in seen]

    state = main.run()
    assert state.value == [
        "OSError('no') None",
        "'1 None' {'x': [OSError('no'), 5]}",
        "2 None",
        "[OSError('no'), 3] None",
        "OSError('no') OSError('no')",
        "'1 None' OSError('no')",
    ]


def test_a_subflow_may_take_a_failure() -> None:
    @flow
    def inner(x: object) -> str:
        return repr(x)

    @flow
    def outer() -> str:
        return inner(allow_failure(fails.submit()))

    assert outer() == "OSError('no')"
