"""The agent's limit."""

from __future__ import annotations

import asyncio
from uuid import UUID, uuid4

from reeve.agent.slots import Slots


async def is_waiting(slots: Slots, attempt_id: UUID) -> bool:
    turn = asyncio.ensure_future(slots.turn(attempt_id))
    await asyncio.sleep(0)
    waiting = not turn.done()
    turn.cancel()
    return waiting


async def test_slots_are_taken_and_freed() -> None:
    slots, one, two = Slots(2), uuid4(), uuid4()
    slots.reserve(one)
    slots.reserve(two)
    assert slots.free == 0
    slots.release(one)
    slots.release(one)
    assert slots.free == 1


async def test_who_comes_too_many_waits_in_line() -> None:
    slots, one, two, three = Slots(1), uuid4(), uuid4(), uuid4()
    for attempt_id in (one, two, three):
        slots.reserve(attempt_id)
    assert slots.free == 0
    assert [await is_waiting(slots, id_) for id_ in (one, two, three)] == [False, True, True]
    slots.release(one)
    assert [await is_waiting(slots, id_) for id_ in (two, three)] == [False, True]


async def test_who_gives_up_waits_no_more_and_is_still_held() -> None:
    slots, one, two, three = Slots(1), uuid4(), uuid4(), uuid4()
    for attempt_id in (one, two, three):
        slots.reserve(attempt_id)
    slots.give_up(two)
    assert not await is_waiting(slots, two)
    slots.release(one)
    assert await is_waiting(slots, three), "two holds the one slot until it is settled"
    slots.release(two)
    assert not await is_waiting(slots, three)


async def test_what_was_adopted_may_exceed_the_limit() -> None:
    slots, adopted = Slots(1), [uuid4(), uuid4()]
    for attempt_id in adopted:
        slots.adopt(attempt_id)
    assert slots.free == 0
    slots.release(adopted[0])
    assert slots.free == 0
    slots.release(adopted[1])
    assert slots.free == 1


async def test_empty_means_that_nothing_is_held_and_nothing_waits() -> None:
    slots, one, two = Slots(1), uuid4(), uuid4()
    await slots.empty()
    slots.reserve(one)
    slots.reserve(two)
    emptied = asyncio.ensure_future(slots.empty())
    for attempt_id in (one, two):
        await asyncio.sleep(0)
        assert not emptied.done()
        slots.release(attempt_id)
    await emptied


async def test_a_limit_of_nothing_starts_nothing() -> None:
    slots, one = Slots(0), uuid4()
    assert slots.free == 0
    slots.reserve(one)
    assert await is_waiting(slots, one)
