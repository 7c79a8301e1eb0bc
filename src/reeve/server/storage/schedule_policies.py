"""Policies of schedules, and the unfinished runs of those schedules that have one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

import msgspec

from reeve.core.schedule_policies import Begun, Catchup, Overlap, SchedulePolicy, Waiting
from reeve.core.states import StateType
from reeve.server.storage import rows, schedules
from reeve.server.storage.store import Row, Transaction

INSERT = """
insert into schedule_policies (schedule_id, deployment_id, parameters, catchup, max_late, overlap)
values ($1, $2, $3, $4, $5, $6)
"""

RUNS = """
select s.flow_run_id as id, s.due, s.held, r.name, r.state_type, r.attempt_id,
    exists (select 1 from attempts t where t.flow_run_id = r.id) as tried
from scheduled_runs s join flow_runs r on r.id = s.flow_run_id where s.schedule_id = $1
"""


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """A policy, and up to when each date of its schedule has a run; None: from now on."""

    policy: SchedulePolicy
    made_until: datetime | None


class ScheduledRun(msgspec.Struct, frozen=True, kw_only=True):
    """A run as its schedule knows it."""

    flow_run_id: UUID
    schedule_id: UUID
    due: datetime
    held: bool


class RunsOfSchedule(msgspec.Struct, frozen=True, kw_only=True):
    """The runs of one schedule: those that wait, those that were begun, those that have ended."""

    waiting: list[Waiting] = []
    begun: list[Begun] = []
    ended: list[UUID] = []


async def of_deployment(tx: Transaction, deployment_id: UUID) -> dict[UUID, Kept]:
    """Return the policies of a deployment's schedules, of those that have one."""
    return await of_deployments(tx, [deployment_id])


async def of_deployments(tx: Transaction, deployment_ids: list[UUID]) -> dict[UUID, Kept]:
    """Return the policies of the schedules of these deployments, of those that have one."""
    found = await tx.fetch(
        "select * from schedule_policies where deployment_id = any($1::uuid[])", deployment_ids
    )
    return {
        rows.uuid(row["schedule_id"]): Kept(
            policy=_policy(row), made_until=rows.instant_or_none(row["made_until"])
        )
        for row in found
    }


async def replace(tx: Transaction, deployment_id: UUID, policies: Mapping[UUID, SchedulePolicy]) -> None:
    """Store the policies of a deployment's schedules in the place of those they had."""
    await tx.execute("delete from schedule_policies where deployment_id = $1", deployment_id)
    await tx.executemany(
        INSERT,
        [
            (key, deployment_id, rows.json(one.parameters), one.catchup, one.max_late, one.overlap)
            for key, one in policies.items()
        ],
    )


async def start_anew(tx: Transaction, deployment_id: UUID) -> None:
    """Forget which dates have passed, and policies of schedules that are gone; have the scheduler look."""
    await tx.execute(
        "update schedule_policies set made_until = null where deployment_id = $1 and made_until is not null",
        deployment_id,
    )
    await tx.execute(
        "delete from schedule_policies where deployment_id = $1 and schedule_id not in"
        " (select id from deployment_schedules where deployment_id = $1)",
        deployment_id,
    )
    await schedules.look_at_once(tx, deployment_id)


async def set_made_until(tx: Transaction, schedule_id: UUID, at: datetime) -> None:
    """Note up to when each date has its run."""
    await tx.execute(
        "update schedule_policies set made_until = $2 where schedule_id = $1", schedule_id, rows.micros(at)
    )


async def insert_runs(tx: Transaction, runs: Sequence[ScheduledRun]) -> None:
    """Store whose runs these are."""
    await tx.executemany(
        "insert into scheduled_runs (flow_run_id, schedule_id, due, held) values ($1, $2, $3, $4)",
        [(run.flow_run_id, run.schedule_id, rows.micros(run.due), run.held) for run in runs],
    )


async def with_due_runs(tx: Transaction, now: datetime) -> list[UUID]:
    """Return the schedules of unfinished runs whose date has come: there may be something to do."""
    found = await tx.fetch(
        "select distinct schedule_id from scheduled_runs where due <= $1", rows.micros(now)
    )
    return [rows.uuid(row["schedule_id"]) for row in found]


async def lock(tx: Transaction, schedule_id: UUID) -> None:
    """Have nobody else settle a schedule until this transaction ends."""
    await tx.execute(
        "select schedule_id from schedule_policies where schedule_id = $1 for no key update", schedule_id
    )


async def read(tx: Transaction, schedule_id: UUID) -> SchedulePolicy | None:
    """Return the policy of a schedule, if it has one."""
    row = await tx.fetchrow("select * from schedule_policies where schedule_id = $1", schedule_id)
    return None if row is None else _policy(row)


async def runs_of(tx: Transaction, schedule_id: UUID) -> RunsOfSchedule:
    """Return the runs of a schedule by how far they are."""
    found = RunsOfSchedule(waiting=[], begun=[], ended=[])
    for row in await tx.fetch(RUNS, schedule_id):
        run_id, type_ = rows.uuid(row["id"]), StateType(row["state_type"])
        if type_.is_final and row["attempt_id"] is None:
            found.ended.append(run_id)
        elif type_ is StateType.SCHEDULED and not row["tried"]:
            due = rows.instant(row["due"])
            found.waiting.append(Waiting(id=run_id, due=due, held=bool(row["held"])))
        else:
            ending = type_.is_final or type_ is StateType.CANCELLING
            found.begun.append(Begun(id=run_id, name=row["name"], ending=ending))
    return found


async def schedule_of_held(tx: Transaction, run_id: UUID) -> UUID | None:
    """Return the schedule for which a run is held; None: it is not."""
    found = await tx.fetchval(
        "select schedule_id from scheduled_runs where flow_run_id = $1 and held", run_id
    )
    return rows.uuid_or_none(found)


async def release(tx: Transaction, run_ids: list[UUID]) -> None:
    """Let runs be claimed."""
    await tx.execute(
        "update scheduled_runs set held = $2 where flow_run_id = any($1::uuid[])", run_ids, False
    )


async def forget(tx: Transaction, run_ids: list[UUID]) -> None:
    """Forget runs that have ended."""
    await tx.execute("delete from scheduled_runs where flow_run_id = any($1::uuid[])", run_ids)


def _policy(row: Row) -> SchedulePolicy:
    return SchedulePolicy(
        parameters=rows.loaded(row["parameters"]),
        catchup=None if row["catchup"] is None else Catchup(row["catchup"]),
        max_late=row["max_late"],
        overlap=Overlap(row["overlap"]),
    )
