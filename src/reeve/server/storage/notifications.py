"""Notification policies, and what is still to be sent because of them."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

import msgspec

from reeve.core.notifications import Policy
from reeve.core.sealing import SEALED, shown
from reeve.server.storage import rows
from reeve.server.storage.store import Row, Transaction
from reeve.wire.codec import iso, parse
from reeve.wire.responses import NotificationPolicy

# A notification with what its message may say.
DUE = """
select n.cursor, n.tries, y.id as policy_id, y.block_document_id, y.message_template,
    f.id as flow_id, f.name as flow_name, r.id as run_id, r.name as run_name, r.parameters,
    s.type, s.name, s.timestamp, s.message
from flow_run_notifications n
join flow_run_notification_policies y on y.id = n.policy_id
join flow_run_states s on s.id = n.state_id
join flow_runs r on r.id = s.flow_run_id
join flows f on f.id = r.flow_id
"""


ACTIVE = "active policies"
IS_SILENT = "not exists (select 1 from flow_run_notification_policies where is_active)"


class Notification(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be sent. ``values``: what its message may say, ``tries``: this one included."""

    cursor: int
    tries: int
    policy_id: UUID
    block_document_id: UUID
    flow_run_id: UUID
    template: str | None
    values: dict[str, str]


async def active(tx: Transaction) -> list[Policy]:
    """Return the policies in force, as they are when the transaction first asks."""
    known: list[Policy] | None = tx.memo.get(ACTIVE)
    if known is not None:
        return known
    found = await tx.aside("select id, state_names, tags from flow_run_notification_policies where is_active")
    known = tx.memo[ACTIVE] = [
        Policy(rows.uuid(row["id"]), rows.loaded(row["state_names"]), rows.loaded(row["tags"]))
        for row in found
    ]
    return known


def note(tx: Transaction, *, is_silent: bool) -> None:
    """Note what another statement has seen, ``IS_SILENT``: there is no policy, mostly."""
    if is_silent:
        tx.memo.setdefault(ACTIVE, [])


async def insert(tx: Transaction, queued: list[tuple[UUID, UUID]], now: datetime) -> None:
    """Queue a notification for each pair of a policy and a state."""
    await tx.executemany(
        "insert into flow_run_notifications (policy_id, state_id, tries, due) values ($1, $2, 0, $3)",
        [(policy_id, state_id, rows.micros(now)) for policy_id, state_id in queued],
    )


async def claim(tx: Transaction, now: datetime, limit: int, lease: timedelta) -> list[Notification]:
    """Return the first that are due; whoever claims them is alone with them for ``lease``."""
    due = await tx.fetch(
        "select cursor from flow_run_notifications where due <= $1 order by due, cursor limit $2"
        " for update skip locked",
        rows.micros(now),
        limit,
    )
    claimed = []
    for row in due:
        await tx.execute(
            "update flow_run_notifications set due = $2, tries = tries + 1 where cursor = $1",
            row["cursor"],
            rows.micros(now + lease),
        )
        found = await tx.fetchrow(f"{DUE} where n.cursor = $1", row["cursor"])
        assert found is not None
        claimed.append(_notification(found))
    return claimed


async def postpone(tx: Transaction, cursor: int, due: datetime) -> None:
    """Have a notification be tried again."""
    await tx.execute("update flow_run_notifications set due = $2 where cursor = $1", cursor, rows.micros(due))


async def drop(tx: Transaction, cursor: int) -> None:
    """Delete a notification that was sent or is given up."""
    await tx.execute("delete from flow_run_notifications where cursor = $1", cursor)


# Policies


async def insert_policy(tx: Transaction, policy: NotificationPolicy) -> None:
    """Store a new policy; raises IntegrityError when its block document is not there."""
    await tx.execute(
        "insert into flow_run_notification_policies (id, created, updated, is_active, state_names, tags,"
        " block_document_id, message_template) values ($1, $2, $3, $4, $5, $6, $7, $8)",
        policy.id,
        rows.micros(parse(policy.created)),
        rows.micros(parse(policy.updated)),
        policy.is_active,
        rows.json(policy.state_names),
        rows.json(policy.tags),
        policy.block_document_id,
        policy.message_template,
    )


async def read_policy(tx: Transaction, policy_id: UUID) -> NotificationPolicy | None:
    """Return a policy."""
    row = await tx.fetchrow("select * from flow_run_notification_policies where id = $1", policy_id)
    return None if row is None else policy(row)


async def lock_policy(tx: Transaction, policy_id: UUID) -> NotificationPolicy | None:
    """Return a policy that nobody else changes until this transaction ends."""
    row = await tx.fetchrow(
        "select * from flow_run_notification_policies where id = $1 for no key update", policy_id
    )
    return None if row is None else policy(row)


async def update_policy(tx: Transaction, policy: NotificationPolicy) -> None:
    """Store what may change of a policy; raises IntegrityError when its block document is not there."""
    await tx.execute(
        "update flow_run_notification_policies set updated = $2, is_active = $3, state_names = $4, tags = $5,"
        " block_document_id = $6, message_template = $7 where id = $1",
        policy.id,
        rows.micros(parse(policy.updated)),
        policy.is_active,
        rows.json(policy.state_names),
        rows.json(policy.tags),
        policy.block_document_id,
        policy.message_template,
    )


async def delete_policy(tx: Transaction, policy_id: UUID) -> bool:
    """Delete a policy with what it had to send; False when there is none."""
    return bool(await tx.execute("delete from flow_run_notification_policies where id = $1", policy_id))


def policy(row: Row) -> NotificationPolicy:
    """Read a policy."""
    return NotificationPolicy(
        id=rows.uuid(row["id"]),
        created=iso(rows.instant(row["created"])),
        updated=iso(rows.instant(row["updated"])),
        is_active=bool(row["is_active"]),
        state_names=rows.loaded(row["state_names"]),
        tags=rows.loaded(row["tags"]),
        block_document_id=rows.uuid(row["block_document_id"]),
        message_template=row["message_template"],
    )


def _notification(row: Row) -> Notification:
    run_id = rows.uuid(row["run_id"])
    return Notification(
        cursor=row["cursor"],
        tries=row["tries"],
        policy_id=rows.uuid(row["policy_id"]),
        block_document_id=rows.uuid(row["block_document_id"]),
        flow_run_id=run_id,
        template=row["message_template"],
        values={
            "flow_run_notification_policy_id": str(row["policy_id"]),
            "flow_id": str(row["flow_id"]),
            "flow_name": row["flow_name"],
            "flow_run_id": str(run_id),
            "flow_run_name": row["run_name"],
            "flow_run_parameters": _shown(row["parameters"]),
            "flow_run_state_type": row["type"],
            "flow_run_state_name": row["name"],
            "flow_run_state_timestamp": iso(rows.instant(row["timestamp"])),
            "flow_run_state_message": row["message"] or "",
        },
    )


def _shown(parameters: str) -> str:
    return rows.json(shown(rows.loaded(parameters))) if SEALED in parameters else parameters
