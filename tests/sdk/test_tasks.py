"""Tasks: called, submitted, mapped; on threads and on event loops."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import time

import pytest

from reeve import RunFailedError, State, TaskFuture, current_run, flow, task, unmapped
from reeve.core.states import StateType
from reeve.sdk.context import NoActiveRunError
from reeve.sdk.futures import FutureNotReadyError, UpstreamFailedError


@task
def double(x: int) -> int:
    return 2 * x


@task
async def double_later(x: int) -> int:
    await asyncio.sleep(0)
    return 2 * x


def test_a_task_works_without_a_flow() -> None:
    assert double(2) == 4
    assert double.run(2).result() == 4
    assert asyncio.run(double_later(2)) == 4


def test_a_failed_task_is_tried_again() -> None:
    tries = []

    @task(retries=2, retry_delay_seconds=[0, 0], retry_jitter_factor=0.5)
    def flaky() -> int:
        tries.append(current_run().try_number)
        if len(tries) < 3:
            raise OSError("not yet")
        return 1

    assert flaky() == 1
    assert tries == [1, 2, 3]


def test_the_delays_of_retries_are_used_one_by_one(caplog: pytest.LogCaptureFixture) -> None:
    @task(retries=3, retry_delay_seconds=[0, 0.1, 0])
    def flaky() -> None:
        raise OSError("never")

    with caplog.at_level(logging.INFO, "reeve"), pytest.raises(OSError, match="never"):
        flaky()
    waits = [record.getMessage() for record in caplog.records if "waits" in record.getMessage()]
    # Fractions of a second are rounded up: the API knows whole ones.
    assert [wait.split()[3] for wait in waits] == ["0", "1", "0"]


def test_map_keeps_the_order_and_runs_at_once() -> None:
    together = threading.Barrier(3, timeout=20)

    @task
    def meet(x: int, y: int) -> tuple[int, int]:
        together.wait()
        return x, y

    @flow(max_workers=3)
    def maps() -> list[tuple[int, int]]:
        return meet.map([1, 2, 3], unmapped(9)).result()

    assert maps() == [(1, 9), (2, 9), (3, 9)]


def test_threads_are_bounded() -> None:
    running: list[int] = []
    most = 0
    lock = threading.Lock()

    @task
    def count(_: int) -> None:
        nonlocal most
        with lock:
            running.append(1)
            most = max(most, len(running))
        time.sleep(0.005)
        with lock:
            running.pop()

    @flow(max_workers=2)
    def maps() -> object:
        return count.map(range(20))

    maps()
    assert most == 2


def test_map_wants_iterables_of_one_length() -> None:
    @flow
    def maps(*args: object) -> object:
        return double.map(*args)

    for args in [(1,), ("text",)]:
        with pytest.raises(ValueError, match="none was given"):
            maps(*args)

    @task
    def pair(x: int, y: int) -> None: ...

    @flow
    def uneven() -> object:
        return pair.map([1, 2], [1, 2, 3])

    with pytest.raises(ValueError, match=r"they have \[2, 3\] elements"):
        uneven()


def test_futures_as_arguments_become_their_results() -> None:
    @task
    def total(values: list[int], extra: dict[str, int]) -> int:
        return sum(values) + extra["x"]

    @flow
    def sums() -> int:
        return total.submit([double.submit(1), 5, double.submit(2)], {"x": double.submit(3)}).result()

    assert sums() == 2 + 5 + 4 + 6


def test_a_task_waits_for_what_it_was_told_to_wait_for() -> None:
    order: list[str] = []

    @task
    def slow() -> None:
        time.sleep(0.02)
        order.append("slow")

    @task
    def after() -> None:
        order.append("after")

    @flow
    def waits() -> object:
        return after.submit(wait_for=[slow.submit()])

    waits()
    assert order == ["slow", "after"]


def test_what_needs_a_failed_task_is_not_started() -> None:
    called = []

    @task
    def fails() -> int:
        raise ValueError("broken")

    @task
    def needs(x: int) -> None:
        called.append(x)

    @flow
    def chain() -> State[None]:
        future = needs.submit(fails.submit())
        state = future.wait()
        assert state is not None
        return state

    state = chain.run()
    assert state.message is not None
    assert "needs task run 'fails-0', which ended as Failed" in state.message
    with pytest.raises(UpstreamFailedError, match="fails-0"):
        state.result()
    assert called == []


def test_tasks_that_wait_for_tasks_do_not_fill_all_threads() -> None:
    @task
    def leaf(x: int) -> int:
        return x

    @task
    def branch(x: int) -> int:
        return leaf.submit(x).result() + leaf.submit(x).result()

    @flow(max_workers=1)
    def tree() -> list[int]:
        return branch.map([1, 2, 3]).result()

    assert tree() == [2, 4, 6]


def test_a_flow_waits_for_tasks_that_nobody_asks_for() -> None:
    done = []

    @task
    def late() -> None:
        time.sleep(0.02)
        done.append(1)

    @flow
    def leaves() -> str:
        late.submit()
        return "gone"

    assert leaves() == "gone"
    assert done == [1]


def test_a_flow_that_raises_drops_what_has_not_begun() -> None:
    begun, go = threading.Event(), threading.Event()
    called: list[int] = []
    futures: list[TaskFuture[None]] = []

    @task
    def first() -> None:
        begun.set()
        go.wait(20)

    @task
    def never(x: int) -> None:
        called.append(x)

    @flow(max_workers=1)
    def raises() -> None:
        futures.append(first.submit())
        futures.extend(never.map([1, 2]))
        begun.wait(20)
        threading.Timer(0.02, go.set).start()
        raise ValueError("enough")

    with pytest.raises(ValueError, match="enough"):
        raises()
    states = [future.state for future in futures]
    assert [state and state.type for state in states] == [
        StateType.COMPLETED,
        StateType.CANCELLED,
        StateType.CANCELLED,
    ]
    assert called == []


def test_submit_wants_a_flow() -> None:
    with pytest.raises(NoActiveRunError, match="'double' was submitted outside of a flow"):
        double.submit(1)


def test_a_future_tells_how_far_it_is() -> None:
    go = threading.Event()

    @task
    def waits() -> int:
        go.wait(20)
        return 1

    @flow
    def watches() -> int:
        future = waits.submit()
        assert not future.done()
        assert future.state is None
        assert future.wait(0.01) is None
        with pytest.raises(TimeoutError, match=r"'waits-0' has not ended within 0\.01 s"):
            future.result(0.01)
        go.set()
        assert future.result() == 1
        assert future.done()
        return future.result()

    assert watches() == 1


def test_an_async_flow_awaits_tasks_of_both_kinds() -> None:
    @flow
    async def mixes() -> list[int]:
        later = double_later.map([1, 2])
        thread = double.submit(later[0])
        with pytest.raises(FutureNotReadyError, match="await future"):
            later[1].result()
        return [await later[0], await later[1], await thread, await double_later(5), double(6)]

    assert asyncio.run(mixes()) == [2, 4, 4, 10, 12]


def test_async_tasks_run_side_by_side() -> None:
    @flow
    async def meets() -> object:
        barrier = asyncio.Barrier(3)

        @task
        async def meet(x: int) -> int:
            await barrier.wait()
            return x

        return meet.map([1, 2, 3])

    assert asyncio.run(meets()) == [1, 2, 3]


def test_an_async_task_of_a_sync_flow_runs_on_a_thread() -> None:
    @flow
    def submits() -> list[int]:
        return double_later.map([1, 2]).result()

    assert submits() == [2, 4]


def test_a_cancelled_async_flow_ends_its_tasks() -> None:
    started, ended = [], []

    @task
    async def endless() -> None:
        started.append(1)
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(1)

    @flow
    async def hangs() -> None:
        endless.submit()
        await asyncio.Event().wait()

    async def cancel() -> None:
        run = asyncio.ensure_future(hangs())
        while not started:
            await asyncio.sleep(0)
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run

    asyncio.run(cancel())
    assert ended == [1]


def test_wrong_arguments_are_told_as_python_tells_them() -> None:
    with pytest.raises(TypeError, match="missing a required argument"):
        double()  # type: ignore[call-arg]


def test_a_task_that_exits_on_its_thread_fails_who_asks_for_it() -> None:
    @task
    def leaves() -> None:
        sys.exit(3)

    @flow(max_workers=1)
    def asks() -> int:
        future = leaves.submit()
        with pytest.raises(RunFailedError, match="Python system exit call"):
            future.result()
        return double.submit(1).result()  # the thread is still there

    assert asks() == 2


def test_a_task_that_works_for_another_is_stopped_in_time() -> None:
    stopped = []

    @task
    def busy() -> None:
        try:
            while True:
                pass
        finally:
            stopped.append(1)

    @task(timeout_seconds=0.2)
    def waits() -> None:
        busy.submit().result()

    @flow(max_workers=1)
    def nests() -> State[None] | None:
        return waits.submit().wait()

    assert nests.run().name == "TimedOut"
    assert stopped == [1]
