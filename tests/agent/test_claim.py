"""Polls: two of them at once, of which the older may end at any moment."""

from __future__ import annotations

import asyncio
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from tests.agent.standin import WAIT_SECONDS, StandIn

from reeve.agent import claim, tasks
from reeve.agent.claim import Claims
from reeve.agent.journal import Journal
from reeve.agent.link import OwnLink
from reeve.agent.slots import Slots
from reeve.wire import endpoints
from reeve.wire.requests import Register
from reeve.wire.responses import ServedQueue, Work


async def test_an_overtaken_poll_that_registers_again_does_so_to_the_end(
    server: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claim, "_OVERTAKEN_SECONDS", 0.0)
    request = Register(id=uuid4(), name="a", host="h", machine_id="m", boot_id="b", version="0", queues=["q"])
    held: list[UUID] = []

    def take(work: Work) -> bool:
        held.extend(grant.attempt_id for grant in work.grants)
        return bool(work.grants)

    journal, link = Journal.open(tmp_path / "journal.db"), OwnLink(server.url, None, request.id)
    claims = Claims(link, journal, Slots(2), request, lambda: (held, []), take)
    await claims.register()
    polling = asyncio.create_task(claims.run())
    try:
        server.served = [ServedQueue(name="another", is_paused=False)]  # "q" was deleted
        answered = server.delay(endpoints.register_agent)
        before = await server.submit("true")
        await server.until(lambda: len(server.registrations) == 2)
        claims.tell()
        async with asyncio.timeout(WAIT_SECONDS):
            while not server.refused:  # of the newer poll, under the older epoch
                assert not polling.done()
                await asyncio.sleep(0.01)
            answered.set()
            server.served = None
            after = await server.submit("true")
            while len(held) < 2:
                assert not polling.done()
                await asyncio.sleep(0.01)
        assert held == [before.id, after.id]
    finally:
        await tasks.cancel([polling])
        await link.close()
        await journal.close()
