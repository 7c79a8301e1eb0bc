"""Parameters with sealed values, wherever they are stored: for the change of a key, which reads them all."""

from __future__ import annotations

from typing import Any, NamedTuple
from uuid import UUID

from reeve.core.sealing import SEALED
from reeve.core.states import StateType
from reeve.server.storage import rows
from reeve.server.storage.store import Row, Transaction

# The columns of a row's id and of the deployment that its parameters are sealed for.
TABLES = {
    "deployments": ("id", "id"),
    "schedule_policies": ("schedule_id", "deployment_id"),
    "flow_runs": ("id", "deployment_id"),
}
_MARK = f'%"{SEALED}"%'
_FINAL = [type_.value for type_ in StateType if type_.is_final]
_NEEDED = """
select parameters from deployments where cast(parameters as text) like $1
union all
select parameters from schedule_policies where cast(parameters as text) like $1
union all
select parameters from flow_runs where cast(parameters as text) like $1 and deployment_id is not null
    and state_type <> all($2::text[])
"""


class Stored(NamedTuple):
    """The parameters of one row."""

    id: UUID
    deployment_id: UUID
    parameters: dict[str, Any]


async def needed(tx: Transaction) -> list[dict[str, Any]]:
    """Return all parameters with sealed values of deployments, schedules and unfinished runs."""
    return [rows.loaded(row["parameters"]) for row in await tx.fetch(_NEEDED, _MARK, _FINAL)]


async def lock(tx: Transaction, table: str, after: UUID | None, limit: int) -> list[Stored]:
    """Return the first rows of a table beyond an id that have sealed values, locked.

    What belongs to a deleted deployment is passed over: nobody can open it.
    """
    key, deployment = TABLES[table]
    later = f" and {key} > $3" if after else ""
    found = await tx.fetch(
        f"select {key} as key, {deployment} as owner, parameters from {table}"  # names of this file
        f" where {deployment} is not null and cast(parameters as text) like $1{later}"
        f" order by {key} limit $2 for no key update",
        _MARK,
        limit,
        *([after] if after else []),
    )
    return [_stored(row) for row in found]


async def put(tx: Transaction, table: str, id_: UUID, parameters: dict[str, Any]) -> None:
    """Store the same parameters under another key."""
    await tx.execute(
        f"update {table} set parameters = $2 where {TABLES[table][0]} = $1",  # as above
        id_,
        rows.json(parameters),
    )


def _stored(row: Row) -> Stored:
    return Stored(rows.uuid(row["key"]), rows.uuid(row["owner"]), rows.loaded(row["parameters"]))
