"""The link to a server of reeve's: one identity has one epoch, and this process knows which."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest
from tests.agent.standin import WAIT_SECONDS, StandIn

from reeve.agent.link import OwnLink, SupersededError
from reeve.wire import endpoints
from reeve.wire.requests import Launched, Register

REQUEST = Register(id=uuid4(), name="a", host="h", machine_id="m", boot_id="b", version="0")
REPORT = Launched(seq=1, handle={"pid": 7}, infrastructure_pid="h:7")


@pytest.fixture
async def link(server: StandIn) -> AsyncIterator[OwnLink]:
    link = OwnLink(server.url, None, REQUEST.id)
    yield link
    await link.close()


async def test_a_newer_epoch_that_is_its_own_supersedes_nobody(server: StandIn, link: OwnLink) -> None:
    """What is asked under the older one meanwhile is refused before the answer tells the newer one."""
    attempt = await server.submit("true")
    await link.register(REQUEST)
    answered = server.delay(endpoints.register_agent)
    registering = asyncio.create_task(link.register(REQUEST))
    await server.until(lambda: len(server.registrations) == 2)
    refused = server.refused
    reporting = asyncio.create_task(link.report(attempt.id, [REPORT]))
    async with asyncio.timeout(WAIT_SECONDS):
        while server.refused == refused:
            await asyncio.sleep(0.01)
        answered.set()
        await registering
        assert (await reporting).next_seq == 2


async def test_a_newer_epoch_of_another_process_supersedes_this_one(server: StandIn, link: OwnLink) -> None:
    attempt = await server.submit("true")
    await link.register(REQUEST)
    await server.supersede()
    with pytest.raises(SupersededError):
        await link.report(attempt.id, [REPORT])
