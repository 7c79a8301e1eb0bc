"""The whole database: whether it answers, and emptying it."""

from __future__ import annotations

from reeve.server.storage.store import Transaction

# Every table but those of the installation itself, such as refer to others first.
TABLES = (
    "flow_run_notifications",
    "flow_run_notification_policies",
    "saved_searches",
    "events",
    "logs",
    "output_offsets",
    "slots",
    "task_run_cache",
    "task_run_states",
    "flow_run_states",
    "flow_run_inputs",
    "artifacts",
    "attempts",
    "agents",
    "workers",
    "task_runs",
    "scheduled_runs",
    "flow_runs",
    "schedule_policies",
    "deployment_options",
    "deployment_schedules",
    "deployments",
    "work_queues",
    "work_pools",
    "flows",
    "variables",
    "tag_limits",
    "slot_limits",
    "block_documents",
    "block_schemas",
    "block_types",
)


async def ask(tx: Transaction) -> None:
    """Ask the database for anything; raises UnavailableError when it does not answer."""
    await tx.fetchval("select 1")


async def clear(tx: Transaction) -> None:
    """Delete all but the schema and the installation's own values."""
    for table in TABLES:
        await tx.execute(f"delete from {table}")
