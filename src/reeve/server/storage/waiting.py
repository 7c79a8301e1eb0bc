"""Runs that wait to be executed: what the polls of 2.20 clients show (api-contract §9, protocol §5)."""

from __future__ import annotations

from datetime import datetime
from time import perf_counter
from uuid import UUID

from reeve.core.runs import FlowRun
from reeve.server.storage import rows
from reeve.server.storage.lines import LINES, walked
from reeve.server.storage.rows import FLOW_RUN
from reeve.server.storage.runs import HELD, LIMITED, WAITS
from reeve.server.storage.store import Transaction

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
