"""Policies of schedules on a server: kept from 2.20 clients, and obeyed by the claim."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

import pytest
from tests.server.office import Office
from tests.server.outside import Outside, made, serving

from reeve.core.schedule_policies import Catchup, Overlap
from reeve.core.states import StateType
from reeve.errors import InvalidInputError
from reeve.server.loops.schedule_policies import SchedulePolicies
from reeve.server.loops.scheduler import Scheduler
from reeve.server.services import deployments, explain, schedule_policies
from reeve.server.storage import rows
from reeve.server.storage.store import Store, Transaction, open_store
from reeve.wire import requests

DAILY = {"interval": 86400.0}


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[Store]:
    store = await open_store(database_url)
    yield store
    await store.close()


@pytest.fixture
async def outside(database_url: str) -> AsyncIterator[Outside]:
    async with serving(database_url) as outside:
        yield outside


class Planner:
    """An office with one daily schedule, due an hour from now, and its policy."""

    def __init__(self, office: Office) -> None:
        self.office = office

    async def begin(self, **policy: Any) -> UUID:
        ctx = self.office.ctx
        now = await ctx.store.read(lambda tx: tx.now())
        anchor = (now + timedelta(hours=1)).isoformat()
        wanted = requests.ScheduleCreate(schedule={**DAILY, "anchor_date": anchor})
        (schedule,) = await deployments.add_schedules(ctx, self.office.deployment_id, [wanted])
        body = [requests.SchedulePolicy(schedule_id=schedule.id, **policy)]
        await schedule_policies.set_policies(ctx, self.office.deployment_id, body)
        await self.schedule()
        return schedule.id

    async def schedule(self) -> None:
        await Scheduler(self.office.ctx, 60).round()

    async def settle(self) -> None:
        await SchedulePolicies(self.office.ctx, 1).round()

    async def pass_by(self, time: timedelta) -> None:
        """Let time pass: move all that is in the database into the past."""
        await self.office.ctx.store.write(partial(_age, by=time // timedelta(microseconds=1)))

    async def names(self) -> list[str]:
        """Return the names of the states of all runs, by date."""
        found = await self.office.ctx.store.read(_names)
        return [name for name in found if name != "Scheduled"]


async def _age(tx: Transaction, by: int) -> None:
    await tx.execute("update scheduled_runs set due = due - $1", by)
    await tx.execute("update schedule_policies set made_until = made_until - $1", by)
    await tx.execute("update deployments set look_again = look_again - $1", by)
    for column in ("next_scheduled_start_time", "expected_start_time"):
        await tx.execute(f"update flow_runs set {column} = {column} - $1", by)
    for row in await tx.fetch("select id, schedule from deployment_schedules"):
        schedule = rows.loaded(row["schedule"])
        anchor = datetime.fromisoformat(schedule["anchor_date"]) - timedelta(microseconds=by)
        await tx.execute(
            "update deployment_schedules set schedule = $2 where id = $1",
            rows.uuid(row["id"]),
            rows.json({**schedule, "anchor_date": anchor.isoformat()}),
        )


async def _names(tx: Transaction) -> list[str]:
    found = await tx.fetch("select state_name from flow_runs order by expected_start_time, id")
    return [row["state_name"] for row in found]


@pytest.mark.parametrize(
    ("policy", "count"),
    [
        ({}, 3),  # what was made by then, as in 2.20
        ({"catchup": Catchup.NONE}, 0),
        ({"catchup": Catchup.LAST}, 1),
        ({"catchup": Catchup.ALL}, 25),
        ({"catchup": Catchup.ALL, "max_late": 3 * 86400.0}, 3),
        ({"catchup": Catchup.ALL, "overlap": Overlap.SKIP}, 1),
    ],
)
async def test_25_days_off(store: Store, policy: dict[str, Any], count: int) -> None:
    planner = Planner(await Office(store).furnish())
    await planner.begin(**policy)
    await planner.pass_by(timedelta(days=25))
    await planner.schedule()
    await planner.settle()
    desk = await planner.office.agent(limit=100)
    work = await desk.poll(100)
    assert len(work.grants) == count
    again = Planner(planner.office)
    await again.schedule()
    await again.settle()
    assert not (await desk.poll(100)).grants


async def test_parameters_are_the_schedules_own(store: Store) -> None:
    planner = Planner(await Office(store).furnish())
    await planner.begin(parameters={"region": "eu"})
    await planner.pass_by(timedelta(hours=2))
    (grant,) = (await (await planner.office.agent()).poll(1)).grants
    assert grant.run.parameters == {"region": "eu"}


async def test_schedules_that_meet_have_a_run_for_each_of_their_parameters(store: Store) -> None:
    office = await Office(store).furnish()
    wanted = [requests.ScheduleCreate(schedule={"cron": "0 3 * * *"}) for _ in range(3)]
    first, second, _ = await deployments.add_schedules(office.ctx, office.deployment_id, wanted)
    body = [
        requests.SchedulePolicy(schedule_id=first.id, parameters={"region": "eu"}),
        requests.SchedulePolicy(schedule_id=second.id, parameters={"region": "us"}),
    ]
    await schedule_policies.set_policies(office.ctx, office.deployment_id, body)
    for _ in range(2):
        await Planner(office).schedule()
        found = await office.ctx.store.read(lambda tx: tx.fetch("select parameters from flow_runs"))
        regions = sorted(rows.loaded(row["parameters"]).get("region", "") for row in found)
        assert regions == [*[""] * 3, *["eu"] * 3, *["us"] * 3]


async def begun(planner: Planner) -> tuple[Any, Any]:
    """Have a first run at work, and the next one due."""
    await planner.pass_by(timedelta(hours=2))
    await planner.settle()
    desk = await planner.office.agent()
    (grant,) = (await desk.poll(5)).grants
    await desk.launched(grant.attempt_id)
    # Its state has the date that was, before time was moved.
    await planner.office.propose(grant.run.id, StateType.RUNNING, grant.attempt_id, force=True)
    await planner.pass_by(timedelta(days=1))
    await planner.settle()
    return desk, grant


async def end(planner: Planner, desk: Any, grant: Any) -> None:
    await planner.office.propose(grant.run.id, StateType.COMPLETED, grant.attempt_id)
    await desk.exited(grant.attempt_id, exit_code=0)


async def test_overlap_skip(store: Store) -> None:
    planner = Planner(await Office(store).furnish())
    await planner.begin(overlap=Overlap.SKIP)
    desk, grant = await begun(planner)
    assert await planner.names() == ["Running", "Skipped"]
    assert not (await desk.poll(5)).grants
    await end(planner, desk, grant)
    await planner.settle()
    await planner.pass_by(timedelta(days=1))
    assert len((await desk.poll(5)).grants) == 1


async def test_overlap_queue(store: Store) -> None:
    office = await Office(store).furnish()
    planner = Planner(office)
    await planner.begin(overlap=Overlap.QUEUE)
    desk, grant = await begun(planner)
    await planner.pass_by(timedelta(days=1))
    await planner.settle()
    assert await planner.names() == ["Running"]
    assert not (await desk.poll(5)).grants
    await end(planner, desk, grant)
    await planner.settle()
    (second,) = (await desk.poll(5)).grants
    assert second.run.id != grant.run.id
    await planner.settle()
    assert not (await desk.poll(5)).grants


async def test_overlap_cancel_running(store: Store) -> None:
    planner = Planner(await Office(store).furnish())
    await planner.begin(overlap=Overlap.CANCEL_RUNNING)
    desk, grant = await begun(planner)
    assert await planner.names() == ["Cancelling"]
    work = await desk.poll(5)
    assert [one.attempt_id for one in work.cancel] == [grant.attempt_id]
    assert not work.grants, "not before the other one has ended"
    await desk.exited(grant.attempt_id, "ended by SIGTERM", signal=15)
    await planner.settle()
    assert len((await desk.poll(5)).grants) == 1
    assert await planner.names() == ["Cancelled", "Pending"]


async def test_a_held_run_is_shown_to_no_2_20_client_and_started_by_none(store: Store) -> None:
    office = await Office(store).furnish()
    planner = Planner(office)
    await planner.begin(overlap=Overlap.QUEUE)
    await begun(planner)
    held = await office.ctx.store.read(
        lambda tx: tx.fetchval(
            "select r.id from flow_runs r join scheduled_runs s on s.flow_run_id = r.id"
            " where s.held order by s.due limit 1"
        )
    )
    decision = await office.propose(rows.uuid(held), StateType.PENDING)
    assert decision.verdict.status == "ABORT"
    said = await explain.explain(office.ctx, rows.uuid(held))
    assert "EARLIER_RUN" in [cause.kind for cause in said.causes]


async def test_a_2_20_client_never_changes_a_policy(outside: Outside) -> None:
    rule = {"cron": "0 3 * * *", "timezone": "UTC"}
    deployment = await outside.deployment(schedules=[{"schedule": rule}], tags=["old"])
    path = f"/deployments/{deployment['id']}"
    (schedule,) = deployment["schedules"]
    wanted = {
        "schedule_id": schedule["id"],
        "parameters": {"region": "eu"},
        "catchup": "last",
        "max_late": 60.0,
        "overlap": "queue",
    }
    assert made(await outside.put(f"{path}/schedule_policies", [wanted])) == [wanted]
    again = await outside.deployment(schedules=[{"schedule": rule}], tags=["new"])
    assert set(again["schedules"][0]) == set(schedule)
    await outside.patch(path, {"schedules": [{"schedule": rule, "active": False}]})
    await outside.patch(f"{path}/schedules/{schedule['id']}", {"active": True})
    await outside.post(f"{path}/pause_deployment")
    assert made(await outside.get(f"{path}/schedule_policies")) == [wanted]
    other = {"cron": "0 4 * * *", "timezone": "UTC"}
    await outside.patch(path, {"schedules": [{"schedule": other}]})
    (policy,) = made(await outside.get(f"{path}/schedule_policies"))
    assert policy["overlap"] == "allow", "another schedule has no policy yet"


async def test_what_cannot_be_is_refused(outside: Outside) -> None:
    deployment = await outside.deployment(
        schedules=[{"schedule": {"cron": "0 3 * * *"}}],
        enforce_parameter_schema=True,
        parameter_openapi_schema={"type": "object", "properties": {"n": {"type": "integer"}}},
    )
    path = f"/deployments/{deployment['id']}/schedule_policies"
    mine = deployment["schedules"][0]["id"]
    for fault, field in [
        ({"schedule_id": deployment["id"]}, "no schedule"),
        ({"schedule_id": mine, "parameters": {"n": "many"}}, "n"),
        ({"schedule_id": mine, "max_late": -1}, "max_late"),
        ({"schedule_id": mine, "overlap": "never"}, "overlap"),
    ]:
        refused = await outside.put(path, [fault])
        assert refused.status_code in {409, 422}, refused.text
        assert field in refused.text
    assert (await outside.get("/deployments/" + mine + "/schedule_policies")).status_code == 404


async def test_the_same_policies_again_leave_the_runs_alone(store: Store) -> None:
    office = await Office(store).furnish()
    schedule_id = await Planner(office).begin(overlap=Overlap.QUEUE)
    ids = await office.ctx.store.read(lambda tx: tx.fetch("select id from flow_runs order by id"))
    body = [requests.SchedulePolicy(schedule_id=schedule_id, overlap=Overlap.QUEUE)]
    await schedule_policies.set_policies(office.ctx, office.deployment_id, body)
    assert [*map(tuple_of, ids)] == [
        *map(
            tuple_of,
            await office.ctx.store.read(lambda tx: tx.fetch("select id from flow_runs order by id")),
        )
    ]
    with pytest.raises(InvalidInputError):
        await schedule_policies.set_policies(
            office.ctx,
            office.deployment_id,
            [requests.SchedulePolicy(schedule_id=office.deployment_id)],
        )


def tuple_of(row: Any) -> Any:
    return row["id"]
