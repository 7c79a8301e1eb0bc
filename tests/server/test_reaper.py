"""The reaper: it judges whoever is due, soon, and holds nothing against anyone that it could not hear."""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any, TypeVar, cast
from uuid import UUID

import pytest
from tests.server.office import Desk, Office, long_up

from reeve import clock
from reeve.core.attempts import Fate, fate
from reeve.errors import UnavailableError
from reeve.server.loops import reaper as module
from reeve.server.loops.reaper import Reaper
from reeve.server.storage import attempts, rows
from reeve.server.storage.store import Store, Transaction, open_store

T = TypeVar("T")
Body = Callable[[Transaction], Awaitable[T]]


class Troubled:
    """A store whose clock a test moves, whose writes it makes wait, fail, or take their time."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.ahead = timedelta()
        self.before_write: Callable[[], Awaitable[None]] | None = None

    async def write(self, body: Body[T]) -> T:
        if self.before_write:
            await self.before_write()
        return await self._store.write(lambda tx: body(cast("Transaction", _Moved(tx, self))))

    async def read(self, body: Body[T]) -> T:
        return await self._store.read(lambda tx: body(cast("Transaction", _Moved(tx, self))))

    def pass_by(self, seconds: float) -> None:
        """Let time pass."""
        self.ahead += timedelta(seconds=seconds)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


class _Moved:
    def __init__(self, tx: Transaction, store: Troubled) -> None:
        self._tx = tx
        self._store = store

    async def now(self) -> datetime:
        return await self._tx.now() + self._store.ahead

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tx, name)


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[Store]:
    store = await open_store(database_url)
    yield store
    await store.close()


@dataclasses.dataclass
class House:
    """An office on a troubled store, one agent, and the reaper of a server that has been up for long."""

    office: Office
    store: Troubled
    agent: Desk
    reaper: Reaper

    async def claim(self, count: int) -> list[UUID]:
        """Have the agent claim so many runs; return its attempts."""
        for _ in range(count):
            await self.office.run()
        grants = (await self.agent.poll(count)).grants
        assert len(grants) == count
        return [grant.attempt_id for grant in grants]

    async def silent(self, seconds: float, *attempt_ids: UUID) -> None:
        """Have attempts not heard of for so much longer."""
        micros = timedelta(seconds=seconds) // timedelta(microseconds=1)
        older = "update attempts set lease_until = lease_until - $1 where id = any($2::uuid[])"
        await self.store.write(lambda tx: tx.execute(older, micros, list(attempt_ids)))

    async def state(self, attempt_id: UUID) -> str:
        """Return the state of an attempt; "unreachable" when it is shown as that."""
        attempt = await self.store.read(lambda tx: attempts.read(tx, attempt_id))
        assert attempt is not None
        return "unreachable" if attempt.unreachable else attempt.state.value

    async def states(self, attempt_ids: list[UUID]) -> set[str]:
        """Return the states of attempts."""
        return {await self.state(one) for one in attempt_ids}


@pytest.fixture
async def house(store: Store) -> House:
    office = await Office(store).furnish()
    troubled = Troubled(store)
    office.ctx = dataclasses.replace(office.ctx, store=cast("Store", troubled))
    return House(office, troubled, await office.agent(), long_up(office.ctx))


async def test_those_in_doubt_are_judged_together(house: House) -> None:
    """One after the other, each with a commit of its own, the last of them waits for all the others."""
    silent = await house.claim(8)
    await house.silent(60, *silent)
    together, writes = asyncio.Barrier(8), itertools.count()

    async def wait_for_all() -> None:
        if 0 < next(writes) <= 8:  # the first looks who is in doubt
            await together.wait()

    house.store.before_write = wait_for_all
    async with asyncio.timeout(30):
        await house.reaper.round()
    assert await house.states(silent) == {"RETURNED"}


async def test_a_long_round_is_no_gap(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Renewals are stored all the while it writes: what falls due then is given no more time."""
    monkeypatch.setattr(module, "TOGETHER", 1)
    *silent, later = await house.claim(9)
    await house.silent(60, *silent)
    await house.silent(10, later)

    async def take_time() -> None:
        house.store.pass_by(2)

    house.store.before_write = take_time
    await house.reaper.round()
    house.store.before_write = None
    assert (await house.states(silent), await house.state(later)) == ({"RETURNED"}, "CLAIMED")
    await house.reaper.round()
    assert await house.state(later) == "RETURNED"


async def test_a_server_that_sleeps_amid_a_round_reaps_nobody_for_it(house: House) -> None:
    silent, held = await house.claim(2)
    await house.agent.launched(held)
    await house.reaper.round()
    house.store.pass_by(10)  # a gap, by which alone it is not overdue
    await house.silent(15, held)
    await house.silent(60, silent)
    writes = itertools.count()

    async def sleep_after_the_look() -> None:
        if next(writes) == 1:
            house.store.pass_by(1000)

    house.store.before_write = sleep_after_the_look
    await house.reaper.round()
    assert next(writes) > 2
    assert (await house.state(silent), await house.state(held)) == ("RETURNED", "LAUNCHED")
    await house.reaper.round()
    assert await house.state(held) == "LAUNCHED"


async def test_while_the_database_was_away_nobody_was_silent(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    claimed, launched = await house.claim(2)
    await house.agent.launched(launched)
    await house.reaper.round()
    house.store.before_write = _fail
    for _ in range(10):
        house.store.pass_by(100)
        with pytest.raises(UnavailableError):
            await house.reaper.round()
    house.store.before_write = None
    with caplog.at_level(logging.WARNING):
        await house.reaper.round()
    assert "no renewals could be heard for 1000." in caplog.text
    house.store.pass_by(5)
    await house.reaper.round()
    assert (await house.state(claimed), await house.state(launched)) == ("CLAIMED", "LAUNCHED")
    for _ in range(4):
        house.store.pass_by(5)
        await house.reaper.round()
    assert (await house.state(claimed), await house.state(launched)) == ("RETURNED", "unreachable")


async def test_while_renewals_could_not_be_stored_nobody_was_silent(house: House) -> None:
    """A full disk refuses what is written, but not the look."""
    claimed, held = await house.claim(2)
    await house.reaper.round()
    for _ in range(10):
        house.store.before_write = _fail
        with pytest.raises(UnavailableError):
            await house.agent.renew(held)
        house.store.before_write = None
        house.store.pass_by(5)
        await house.reaper.round()
    await house.agent.renew(held)
    await house.reaper.round()
    assert (await house.state(claimed), await house.state(held)) == ("CLAIMED", "CLAIMED")
    house.store.pass_by(5)
    await house.silent(20, claimed)
    await house.reaper.round()
    assert (await house.state(claimed), await house.state(held)) == ("RETURNED", "CLAIMED")


async def _fail() -> None:
    raise UnavailableError("The disk is full.")


async def test_those_that_are_waited_for_hold_up_nobody(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BATCH", 2)
    *waited_for, last = await house.claim(6)
    for one in waited_for:
        await house.agent.launched(one)
    await house.silent(120, *waited_for)
    await house.silent(60, last)
    for _ in range(3):
        await house.reaper.round()
    assert (await house.states(waited_for), await house.state(last)) == ({"unreachable"}, "RETURNED")


async def test_one_that_cannot_be_judged_holds_up_nobody(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    broken, sound = await house.claim(2)
    await house.silent(120, broken)
    await house.silent(60, sound)
    await house.store.write(lambda tx: tx.execute("update attempts set kind = '?' where id = $1", broken))
    await house.reaper.round()
    assert await house.state(sound) == "RETURNED"
    assert f"attempt {broken} could not be judged" in caplog.text


async def test_whoever_is_in_doubt_is_found_and_nobody_else(house: House) -> None:
    terms, now = house.office.ctx.terms, clock.now()
    cases = list(
        itertools.product((-1, 2.9, 3.1, 5.1, 299, 301), (None, 299, 301), ("wait", "replace"), (True, False))
    )
    await house.claim(len(cases))
    ids = await house.store.read(lambda tx: tx.fetch("select id from attempts"))

    async def prepare(tx: Transaction) -> None:
        for row, (over_for, failed_for, on_lost, is_unreachable) in zip(ids, cases, strict=True):
            await tx.execute(
                "update attempts set launched = $2, lease_until = $3, stop_failed = $4, on_lost = $5,"
                " unreachable = $6 where id = $1",
                rows.uuid(row["id"]),
                rows.micros(now),
                rows.micros(now - timedelta(seconds=over_for)),
                None if failed_for is None else rows.micros(now - timedelta(seconds=failed_for)),
                on_lost,
                is_unreachable,
            )

    await house.store.write(prepare)
    found = await house.store.read(lambda tx: attempts.in_doubt(tx, terms, now, 1000))
    known = await house.store.write(lambda tx: attempts.lock_all(tx, [rows.uuid(row["id"]) for row in ids]))
    fates = {one.id: fate(one, returns=0, terms=terms, now=now, slack=timedelta()) for one in known}
    assert set(found) == {id_ for id_, one in fates.items() if one is not Fate.KEEP}
