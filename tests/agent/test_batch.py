"""Batches: what waits while a request is on its way goes with the next."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from reeve.agent.batch import Batches


class Line:
    """Something that takes items, as slowly as a test wants."""

    def __init__(self, pause: float = 0.0) -> None:
        self.sent: list[list[int]] = []
        self.free = asyncio.Event()
        self.batches = Batches(self.send, pause=pause)

    async def send(self, items: Sequence[int]) -> list[int]:
        self.sent.append([*items])
        await self.free.wait()
        if 13 in items:
            raise ValueError("unlucky")
        return [-item for item in items]


@pytest.fixture
def line() -> Line:
    return Line()


async def _put(line: Line, items: Sequence[int]) -> list[asyncio.Future[int]]:
    tasks = [line.batches.put(item) for item in items]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return tasks


async def test_what_gathers_goes_together(line: Line) -> None:
    first = await _put(line, [1])
    rest = await _put(line, [2, 3, 4])
    line.free.set()
    assert await asyncio.gather(*first, *rest) == [-1, -2, -3, -4]
    assert line.sent == [[1], [2, 3, 4]]


async def test_a_request_is_not_without_end(line: Line) -> None:
    line.free.set()
    assert len(await asyncio.gather(*await _put(line, range(100, 350)))) == 250
    assert max(map(len, line.sent)) == 100


async def test_who_gives_up_waiting_has_sent_all_the_same(line: Line) -> None:
    (first,) = await _put(line, [1])
    gone, stays = await _put(line, [2, 3])
    gone.cancel()
    line.free.set()
    assert list(await asyncio.gather(first, stays)) == [-1, -3]
    assert line.sent == [[1], [2, 3]]


async def test_an_error_is_heard_by_all_of_its_request_and_no_other(line: Line) -> None:
    good = await _put(line, [1])
    bad = await _put(line, [13, 2])
    line.free.set()
    assert await asyncio.gather(*good, *bad, return_exceptions=True) == [-1, *[bad[0].exception()] * 2]
    assert str(bad[0].exception()) == "unlucky"
    assert await line.batches.put(5) == -5


async def test_a_closed_one_sends_no_more(line: Line) -> None:
    tasks = await _put(line, [1])
    tasks += await _put(line, [2])
    await line.batches.close()
    assert line.sent == [[1]]
    assert not any(task.done() for task in tasks)
    for task in tasks:
        task.cancel()


async def test_what_has_gathered_lets_others_join_it() -> None:
    line = Line(pause=1e6)  # as long as may be
    first = await _put(line, [1])
    second = await _put(line, [2])
    line.free.set()
    assert await first[0] == -1
    third = await _put(line, [3])
    assert await asyncio.gather(*second, *third) == [-2, -3]
    assert line.sent == [[1], [2, 3]]


async def test_what_comes_one_after_the_other_goes_at_once() -> None:
    line = Line(pause=1e6)
    line.free.set()
    for item in range(3):
        (answer,) = await _put(line, [item])
        assert answer.done()


async def test_what_is_not_urgent_goes_with_what_is(line: Line) -> None:
    line.free.set()
    patient = [line.batches.put(item, patience=1e6) for item in (1, 2)]
    await asyncio.sleep(0.01)
    assert line.sent == []
    urgent = await _put(line, [3])
    assert await asyncio.gather(*patient, *urgent) == [-1, -2, -3]
    assert line.sent == [[1, 2, 3]]


async def test_patience_ends(line: Line) -> None:
    line.free.set()
    answers = [line.batches.put(1, patience=0.01), line.batches.put(2, patience=1e6)]
    assert await asyncio.gather(*answers) == [-1, -2]
    assert line.sent == [[1, 2]]


async def test_what_is_not_urgent_makes_no_request_of_its_own_right_after_one(line: Line) -> None:
    urgent = await _put(line, [1])
    patient = line.batches.put(2, patience=1e6)
    line.free.set()
    assert await urgent[0] == -1
    await asyncio.sleep(0.01)
    assert line.sent == [[1]]
    assert not patient.done()
    assert await (await _put(line, [3]))[0] == -3
    assert line.sent == [[1], [2, 3]]
