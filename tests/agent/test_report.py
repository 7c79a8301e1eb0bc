"""Reports reach the server in order, whatever became of those before them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest
from msgspec import Raw
from tests.agent.standin import WAIT_SECONDS, Attempt, Refused, StandIn

from reeve.agent.journal import Entry, Journal, claimed
from reeve.agent.link import OwnLink
from reeve.agent.report import Outbox
from reeve.wire.requests import AnyReport, Call, Exited, Launched, Register, StopFailed


def launched(seq: int) -> Launched:
    return Launched(seq=seq, handle={"pid": 7}, infrastructure_pid="h:7")


def stop_failed(seq: int) -> StopFailed:
    return StopFailed(seq=seq, reason="it does not end")


def exited(seq: int) -> Exited:
    return Exited(seq=seq, exit_code=0, cause="exited with code 0")


@dataclass
class Desk:
    """What an outbox works with, and the attempt as the server has it."""

    link: OwnLink
    journal: Journal
    attempt: Attempt
    entry: Entry

    def outbox(self, *reports: AnyReport) -> Outbox:
        """Return the outbox of an agent whose journal has these reports."""
        self.entry.reports = [*reports]
        return Outbox(self.link, self.journal, self.entry, [])

    async def deliver(self, outbox: Outbox) -> list[str]:
        """Deliver until the attempt is settled; return what the server was told."""
        async with asyncio.timeout(WAIT_SECONDS):
            await outbox.deliver()
        return [type(one).__name__ for one in self.attempt.reports]


@pytest.fixture
async def desk(server: StandIn, tmp_path: Path) -> AsyncIterator[Desk]:
    attempt = await server.submit("true")
    attempt.epoch = 1
    entry = claimed(attempt.grant)
    journal, link = Journal.open(tmp_path / "journal.db"), OwnLink(server.url, None, uuid4())
    await journal.claimed([entry], 1)
    await link.register(
        Register(id=uuid4(), name="a", host="h", machine_id="m", boot_id="b", version="0", held=[attempt.id])
    )
    yield Desk(link, journal, attempt, entry)
    await link.close()
    await journal.close()


async def test_a_report_whose_maker_is_cancelled_holds_up_no_later_one(desk: Desk) -> None:
    """The end of a run is seen while its agent notes that it does not end."""
    outbox = desk.outbox()
    await outbox.put(launched)
    noting = asyncio.create_task(outbox.put(stop_failed))
    await asyncio.sleep(0)  # it waits for the journal now
    noting.cancel()
    await outbox.put(exited)
    assert noting.cancelled()
    assert await desk.deliver(outbox) == ["Launched", "StopFailed", "Exited"]


async def test_an_end_is_told_though_the_server_has_a_report_of_its_number(desk: Desk) -> None:
    """The disk was full when that one was made: the agent was started anew, and its journal forgot it."""
    desk.attempt.reports = [launched(1), stop_failed(2)]
    outbox = desk.outbox(launched(1))
    await outbox.put(exited)
    assert await desk.deliver(outbox) == ["Launched", "StopFailed", "Exited"]


async def test_what_the_journal_has_lost_holds_up_nothing(desk: Desk) -> None:
    outbox = desk.outbox(stop_failed(2))
    await outbox.put(exited)
    assert await desk.deliver(outbox) == ["StopFailed", "Exited"]


async def test_a_launch_waits_for_what_follows_it_and_goes_with_what_runs_ask(
    desk: Desk, server: StandIn
) -> None:
    outbox = desk.outbox()
    delivering = asyncio.create_task(desk.deliver(outbox))
    await outbox.put(launched)
    await outbox.put(exited)
    asked = desk.link.pass_on(Call(method="GET", path="/reeve", key=None, body=Raw(b"null")))
    assert await delivering == ["Launched", "Exited"]
    assert (await asked).status == 200
    assert server.requests[0] == ["register_agent"]
    assert {names[0] for names in server.requests[1:]} == {"relay_calls"}
    assert sum(names.count("report_attempts") for names in server.requests) == 1


async def test_what_is_refused_among_others_goes_by_itself_until_it_is_taken(
    desk: Desk, server: StandIn
) -> None:
    server.refusals["relay_calls"] = Refused(404, "There is no such path.")  # an older server
    outbox = desk.outbox()
    await outbox.put(exited)
    assert await desk.deliver(outbox) == ["Exited"]
    assert server.requests[1:] == [["relay_calls"], ["report_attempts"]]
