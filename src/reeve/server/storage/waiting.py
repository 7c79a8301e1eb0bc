"""Runs that wait: which a claim takes, what polls of 2.20 show, how many (api-contract §9, protocol §5)."""

from __future__ import annotations

from datetime import datetime
from time import perf_counter
from uuid import UUID

from reeve.core.agents import Fit
from reeve.core.runs import FlowRun
from reeve.server.storage import rows
from reeve.server.storage.lines import LINES, LONG_AGO, walked
from reeve.server.storage.rows import FLOW_RUN, RUN_COLUMNS, RUN_JOINS
from reeve.server.storage.runs import known
from reeve.server.storage.store import Transaction

HELD = "select flow_run_id from scheduled_runs where held"  # core.schedule_policies
# A run that no attempt holds. One that waits for the next try in a process of its own is nobody else's (W3).
# Nor is one that its schedule holds until its earlier runs have ended.
WAITS = (
    "state_type = 'SCHEDULED' and attempt_id is null and coalesce(retry_type, '') <> 'in_process'"
    f" and id not in ({HELD})"
)
# The same for what walks the line of a queue. Its index (0024) does not name the state, and no other index
# may be taken for it.
WAITS_IN_LINE = WAITS.replace("state_type = 'SCHEDULED'", "state_type || '' = 'SCHEDULED'")

# The deployments with a limit of their own, whether there are any; its deployment has none, or room in it: a
# run of a full one is no candidate, and in nobody's way.
LIMITED = "select o.deployment_id from deployment_options o where o.concurrency_limit is not null"
ANY_LIMITED = f"exists ({LIMITED})"
IS_LIMITED = "any deployment is limited"  # what a transaction has seen of that
HAS_ROOM = (
    f"(deployment_id in ({LIMITED} and o.concurrency_limit <="
    " (select count(*) from attempts t where t.deployment_id = o.deployment_id and t.closed is null)))"
    " is not true"
)

# The line of a queue, first come first served. Of the deployments with a limit only those in $4, which the
# claim has locked: a run of another may have come after it had looked for them.
DUE = f"""
select {RUN_COLUMNS} from (
    select * from flow_runs
    where work_queue_id = $1 and {WAITS_IN_LINE} and next_scheduled_start_time <= $2
    and (deployment_id = any($4::uuid[]) or (deployment_id in ({LIMITED})) is not true)
    and id <> all($5::uuid[]) and next_scheduled_start_time >= $6 {{fits}}
    order by next_scheduled_start_time, id
    limit $3 for no key update skip locked
) r {RUN_JOINS} order by r.next_scheduled_start_time, r.id
"""

# The infrastructure document that a run is launched by, its own or its deployment's; null: it names none.
NAMED = (
    "coalesce(flow_runs.infrastructure_document_id,"
    " (select d.infrastructure_document_id from deployments d where d.id = flow_runs.deployment_id))"
)

COUNTED = 1000  # runs in a line; whoever waits behind more needs no exact figure

# Of the deployments with a limit, in each queue, as many waiting runs as there is room for: more would stand
# before others in the page of a poll, and be refused when they are to start.
ADMITTED = f"""
select line.id from (
    select w.id, roomy.free, row_number() over (
        partition by w.deployment_id, w.work_queue_id order by w.next_scheduled_start_time, w.id
    ) as place
    from (
        select o.deployment_id, o.concurrency_limit - (
            select count(*) from attempts t where t.deployment_id = o.deployment_id and t.closed is null
        ) as free
        from deployment_options o where o.concurrency_limit is not null
    ) roomy
    join flow_runs w on w.deployment_id = roomy.deployment_id where roomy.free > 0 and {WAITS}
) line where line.place <= line.free
"""

# Due runs that no attempt holds. A run that waits for the next try in its own process is nobody else's (W3).
FREE = (
    "r.state_type = 'SCHEDULED' and r.attempt_id is null and coalesce(r.retry_type, '') <> 'in_process'"
    f" and r.id not in ({HELD})"
    f" and ((r.deployment_id in ({LIMITED})) is not true or r.id in ({ADMITTED}))"
)
FREE_IN_LINE = FREE.replace(
    "r.state_type = 'SCHEDULED'", "r.state_type || '' = 'SCHEDULED'", 1
)  # as WAITS_IN_LINE
BY_TIME = "order by r.next_scheduled_start_time, r.id"

# Runs that a queue of 2.x with a tag filter takes: of any deployment, or of those it names.
TAGGED = "r.tags @> $1::jsonb and r.deployment_id is not null"

FAR_AHEAD = 2**62  # no bound


async def take_due(
    tx: Transaction,
    queue_id: UUID,
    before: datetime,
    limit: int,
    fit: Fit,
    *,
    with_room: list[UUID],
    taken: list[UUID],
) -> list[FlowRun]:
    """Lock and return the first runs of a queue that are due by then and that fit.

    Passed over are runs that another claim has locked, those ``taken`` already, and those of deployments with
    a limit that are not among ``with_room``.
    """
    condition, args = _fits(fit, "$7")
    begin, began = LINES.begin(queue_id), perf_counter()
    found = await tx.locked(
        DUE.format(fits=condition),
        queue_id,
        rows.micros(before),
        limit,
        with_room,
        taken,
        begin,
        *args,
    )
    await walked(tx, queue_id, begin, began)
    return await known(tx, found)


async def next_due(
    tx: Transaction, queue_ids: list[UUID], fit: Fit, after: datetime | None = None
) -> datetime | None:
    """Return when the next fitting run of these queues is due, or was; None if none is waiting.

    ``after``: pass over those that are due by then.
    """
    found = [await _next_of(tx, queue_id, fit, after) for queue_id in queue_ids]
    return min((at for at in found if at is not None), default=None)


async def _next_of(tx: Transaction, queue_id: UUID, fit: Fit, after: datetime | None) -> datetime | None:
    condition, args = _fits(fit, "$3")
    begin, began = LINES.begin(queue_id) if after is None else rows.micros(after) + 1, perf_counter()
    at: int | None = await tx.fetchval(
        # In the order of the line: for a min() SQLite may read the scheduled runs of all queues.
        "select next_scheduled_start_time from flow_runs"
        f" where work_queue_id = $1 and {WAITS_IN_LINE} and next_scheduled_start_time >= $2 {condition}"
        f" and {HAS_ROOM} order by next_scheduled_start_time, id limit 1",
        queue_id,
        begin,
        *args,
    )
    await walked(tx, queue_id, begin, began)
    if after is not None or begin == LONG_AGO:
        return rows.instant_or_none(at)
    # What came before the begin meanwhile is to be seen as soon as the whole line is walked again.
    again = await tx.now() + LINES.left(queue_id)
    return again if at is None else min(rows.instant(at), again)


def _fits(fit: Fit, place: str) -> tuple[str, list[object]]:
    """Return the condition that runs fit, nothing where all do, and its argument for ``place``."""
    condition = "" if fit.unnamed else f"and {NAMED} is not null"
    if not fit.foreign:
        return condition, []
    return f"{condition} and ({NAMED} = any({place}::uuid[])) is not true", [fit.foreign]


async def of_queue(
    tx: Transaction,
    queue_id: UUID,
    *,
    before: datetime | None,
    after: datetime | None = None,
    limit: int,
) -> list[FlowRun]:
    """Return the first waiting runs of a queue; both bounds are inclusive, None is no bound."""
    begin, began = LINES.begin(queue_id) if after is None else rows.micros(after), perf_counter()
    found = await tx.fetch(
        f"{FLOW_RUN} where r.work_queue_id = $1 and {FREE_IN_LINE} and r.next_scheduled_start_time <= $2"
        f" and r.next_scheduled_start_time >= $3 {BY_TIME} limit $4",
        queue_id,
        FAR_AHEAD if before is None else rows.micros(before),
        begin,
        limit,
    )
    await walked(tx, queue_id, begin, began)
    return [rows.flow_run(row) for row in found]


async def tagged(
    tx: Transaction,
    tags: list[str],
    deployment_ids: list[UUID] | None,
    *,
    before: datetime | None,
    limit: int,
) -> list[FlowRun]:
    """Return the first waiting runs with all these tags, of these deployments or of any (§9.1)."""
    found = await tx.fetch(
        f"{FLOW_RUN} where {TAGGED} and {FREE} and r.next_scheduled_start_time <= $2"
        f"{_of_deployments(deployment_ids, '$4')} {BY_TIME} limit $3",
        rows.json(tags),
        FAR_AHEAD if before is None else rows.micros(before),
        limit,
        *([] if deployment_ids is None else [deployment_ids]),
    )
    return [rows.flow_run(row) for row in found]


async def executing_tagged(tx: Transaction, tags: list[str], deployment_ids: list[UUID] | None) -> int:
    """Count the runs with all these tags that fill the limit of a queue with a tag filter."""
    count: int = await tx.fetchval(
        f"select count(*) from flow_runs r where {TAGGED} and r.state_type = any($2::text[])"
        f"{_of_deployments(deployment_ids, '$3')}",
        rows.json(tags),
        ["PENDING", "RUNNING"],
        *([] if deployment_ids is None else [deployment_ids]),
    )
    return count


async def of_deployment(
    tx: Transaction, deployment_id: UUID, *, before: datetime | None, limit: int
) -> list[FlowRun]:
    """Return the first waiting runs of a deployment, whatever their queues."""
    found = await tx.fetch(
        f"{FLOW_RUN} where r.deployment_id = $1 and {FREE}"
        f" and r.next_scheduled_start_time <= $2 {BY_TIME} limit $3",
        deployment_id,
        FAR_AHEAD if before is None else rows.micros(before),
        limit,
    )
    return [rows.flow_run(row) for row in found]


def _of_deployments(deployment_ids: list[UUID] | None, place: str) -> str:
    return "" if deployment_ids is None else f" and r.deployment_id = any({place}::uuid[])"


async def ahead_of(tx: Transaction, run: FlowRun, *, blocked_too: bool) -> int:
    """Count the due runs of the same queue that come before a run; COUNTED at the most.

    ``blocked_too``: also those whose deployment is full.
    """
    if run.next_scheduled_start_time is None:
        return 0
    count: int = await tx.fetchval(
        f"select count(*) from (select 1 as one from flow_runs where work_queue_id = $1 and {WAITS}"
        f" and (next_scheduled_start_time, id) < ($2, $3) and next_scheduled_start_time <= $2"
        f"{_and_room(blocked_too)} limit {COUNTED}) line",
        run.work_queue_id,
        rows.micros(run.next_scheduled_start_time),
        run.id,
    )
    return count


async def due_in(tx: Transaction, queue_ids: list[UUID], now: datetime, *, blocked_too: bool) -> int:
    """Count the due runs of queues, as ``ahead_of`` does; COUNTED at the most."""
    count: int = await tx.fetchval(
        "select count(*) from (select 1 as one from flow_runs where work_queue_id = any($1::uuid[])"
        f" and {WAITS} and next_scheduled_start_time <= $2{_and_room(blocked_too)} limit {COUNTED}) line",
        queue_ids,
        rows.micros(now),
    )
    return count


def _and_room(blocked_too: bool) -> str:
    return "" if blocked_too else f" and {HAS_ROOM}"
