"""Every operation of the API, declared once: the server serves this table, the client calls it.

Paths are relative to ``/api``. Parameters in braces are text unless their name is ``id`` or ends with
``_id``: these are UUIDs. The 2.20 part follows ``contract/endpoints.tsv``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from reeve.wire.lazy import loader

if TYPE_CHECKING:
    from reeve.wire.endpoints.agents import list_agents as list_agents
    from reeve.wire.endpoints.agents import poll_agent as poll_agent
    from reeve.wire.endpoints.agents import read_agent as read_agent
    from reeve.wire.endpoints.agents import register_agent as register_agent
    from reeve.wire.endpoints.agents import set_agent_mode as set_agent_mode
    from reeve.wire.endpoints.agents import stop_agent as stop_agent
    from reeve.wire.endpoints.artifacts import count_artifacts as count_artifacts
    from reeve.wire.endpoints.artifacts import count_latest_artifacts as count_latest_artifacts
    from reeve.wire.endpoints.artifacts import create_artifact as create_artifact
    from reeve.wire.endpoints.artifacts import delete_artifact as delete_artifact
    from reeve.wire.endpoints.artifacts import filter_artifacts as filter_artifacts
    from reeve.wire.endpoints.artifacts import filter_latest_artifacts as filter_latest_artifacts
    from reeve.wire.endpoints.artifacts import read_artifact as read_artifact
    from reeve.wire.endpoints.artifacts import read_latest_artifact as read_latest_artifact
    from reeve.wire.endpoints.artifacts import update_artifact as update_artifact
    from reeve.wire.endpoints.attempts import attempt_output as attempt_output
    from reeve.wire.endpoints.attempts import end_self_attempt as end_self_attempt
    from reeve.wire.endpoints.attempts import flow_run_attempts as flow_run_attempts
    from reeve.wire.endpoints.attempts import open_self_attempt as open_self_attempt
    from reeve.wire.endpoints.attempts import relay_calls as relay_calls
    from reeve.wire.endpoints.attempts import renew_attempts as renew_attempts
    from reeve.wire.endpoints.attempts import report_attempts as report_attempts
    from reeve.wire.endpoints.blocks import block_capabilities as block_capabilities
    from reeve.wire.endpoints.blocks import block_documents_of_type as block_documents_of_type
    from reeve.wire.endpoints.blocks import count_block_documents as count_block_documents
    from reeve.wire.endpoints.blocks import create_block_document as create_block_document
    from reeve.wire.endpoints.blocks import create_block_schema as create_block_schema
    from reeve.wire.endpoints.blocks import create_block_type as create_block_type
    from reeve.wire.endpoints.blocks import delete_block_document as delete_block_document
    from reeve.wire.endpoints.blocks import delete_block_schema as delete_block_schema
    from reeve.wire.endpoints.blocks import delete_block_type as delete_block_type
    from reeve.wire.endpoints.blocks import filter_block_documents as filter_block_documents
    from reeve.wire.endpoints.blocks import filter_block_schemas as filter_block_schemas
    from reeve.wire.endpoints.blocks import filter_block_types as filter_block_types
    from reeve.wire.endpoints.blocks import install_system_block_types as install_system_block_types
    from reeve.wire.endpoints.blocks import read_block_document as read_block_document
    from reeve.wire.endpoints.blocks import read_block_document_by_name as read_block_document_by_name
    from reeve.wire.endpoints.blocks import read_block_schema as read_block_schema
    from reeve.wire.endpoints.blocks import read_block_schema_by_checksum as read_block_schema_by_checksum
    from reeve.wire.endpoints.blocks import read_block_type as read_block_type
    from reeve.wire.endpoints.blocks import read_block_type_by_slug as read_block_type_by_slug
    from reeve.wire.endpoints.blocks import update_block_document as update_block_document
    from reeve.wire.endpoints.blocks import update_block_type as update_block_type
    from reeve.wire.endpoints.deployments import check_work_queues as check_work_queues
    from reeve.wire.endpoints.deployments import count_deployments as count_deployments
    from reeve.wire.endpoints.deployments import create_deployment as create_deployment
    from reeve.wire.endpoints.deployments import create_run_of_deployment as create_run_of_deployment
    from reeve.wire.endpoints.deployments import create_schedules as create_schedules
    from reeve.wire.endpoints.deployments import delete_deployment as delete_deployment
    from reeve.wire.endpoints.deployments import delete_schedule as delete_schedule
    from reeve.wire.endpoints.deployments import deployment_runs as deployment_runs
    from reeve.wire.endpoints.deployments import filter_deployments as filter_deployments
    from reeve.wire.endpoints.deployments import pause_deployment as pause_deployment
    from reeve.wire.endpoints.deployments import read_deployment as read_deployment
    from reeve.wire.endpoints.deployments import read_deployment_by_name as read_deployment_by_name
    from reeve.wire.endpoints.deployments import read_deployment_options as read_deployment_options
    from reeve.wire.endpoints.deployments import read_schedule_policies as read_schedule_policies
    from reeve.wire.endpoints.deployments import read_schedules as read_schedules
    from reeve.wire.endpoints.deployments import resume_deployment as resume_deployment
    from reeve.wire.endpoints.deployments import schedule_deployment as schedule_deployment
    from reeve.wire.endpoints.deployments import set_deployment_options as set_deployment_options
    from reeve.wire.endpoints.deployments import set_schedule_active as set_schedule_active
    from reeve.wire.endpoints.deployments import set_schedule_inactive as set_schedule_inactive
    from reeve.wire.endpoints.deployments import set_schedule_policies as set_schedule_policies
    from reeve.wire.endpoints.deployments import update_deployment as update_deployment
    from reeve.wire.endpoints.deployments import update_schedule as update_schedule
    from reeve.wire.endpoints.engine import create_flow as create_flow
    from reeve.wire.endpoints.engine import create_flow_run as create_flow_run
    from reeve.wire.endpoints.engine import create_logs as create_logs
    from reeve.wire.endpoints.engine import create_task_run as create_task_run
    from reeve.wire.endpoints.engine import read_flow_run as read_flow_run
    from reeve.wire.endpoints.engine import report_task_runs as report_task_runs
    from reeve.wire.endpoints.engine import set_code_version as set_code_version
    from reeve.wire.endpoints.engine import set_flow_run_state as set_flow_run_state
    from reeve.wire.endpoints.engine import set_task_run_state as set_task_run_state
    from reeve.wire.endpoints.engine import update_flow_run as update_flow_run
    from reeve.wire.endpoints.events import automations_about as automations_about
    from reeve.wire.endpoints.events import change_automation as change_automation
    from reeve.wire.endpoints.events import count_automations as count_automations
    from reeve.wire.endpoints.events import count_events as count_events
    from reeve.wire.endpoints.events import create_automation as create_automation
    from reeve.wire.endpoints.events import create_events as create_events
    from reeve.wire.endpoints.events import delete_automation as delete_automation
    from reeve.wire.endpoints.events import delete_automations_of as delete_automations_of
    from reeve.wire.endpoints.events import filter_automations as filter_automations
    from reeve.wire.endpoints.events import filter_events as filter_events
    from reeve.wire.endpoints.events import next_events as next_events
    from reeve.wire.endpoints.events import read_automation as read_automation
    from reeve.wire.endpoints.events import replace_automation as replace_automation
    from reeve.wire.endpoints.everything import ENDPOINTS as ENDPOINTS
    from reeve.wire.endpoints.everything import E as E
    from reeve.wire.endpoints.flow_runs import cancel_flow_run as cancel_flow_run
    from reeve.wire.endpoints.flow_runs import count_flow_runs as count_flow_runs
    from reeve.wire.endpoints.flow_runs import delete_flow_run as delete_flow_run
    from reeve.wire.endpoints.flow_runs import explain_flow_run as explain_flow_run
    from reeve.wire.endpoints.flow_runs import filter_flow_runs as filter_flow_runs
    from reeve.wire.endpoints.flow_runs import flow_run_dependencies as flow_run_dependencies
    from reeve.wire.endpoints.flow_runs import flow_run_graph as flow_run_graph
    from reeve.wire.endpoints.flow_runs import flow_run_history as flow_run_history
    from reeve.wire.endpoints.flow_runs import flow_run_lateness as flow_run_lateness
    from reeve.wire.endpoints.flow_runs import flow_run_states as flow_run_states
    from reeve.wire.endpoints.flow_runs import follow_flow_run as follow_flow_run
    from reeve.wire.endpoints.flow_runs import read_flow_run_state as read_flow_run_state
    from reeve.wire.endpoints.flow_runs import resume_flow_run as resume_flow_run
    from reeve.wire.endpoints.flows import count_flows as count_flows
    from reeve.wire.endpoints.flows import delete_flow as delete_flow
    from reeve.wire.endpoints.flows import filter_flows as filter_flows
    from reeve.wire.endpoints.flows import read_flow as read_flow
    from reeve.wire.endpoints.flows import read_flow_by_name as read_flow_by_name
    from reeve.wire.endpoints.flows import update_flow as update_flow
    from reeve.wire.endpoints.inputs import create_input as create_input
    from reeve.wire.endpoints.inputs import delete_input as delete_input
    from reeve.wire.endpoints.inputs import filter_inputs as filter_inputs
    from reeve.wire.endpoints.inputs import read_input as read_input
    from reeve.wire.endpoints.limits import create_slot_limit as create_slot_limit
    from reeve.wire.endpoints.limits import decrement_slots as decrement_slots
    from reeve.wire.endpoints.limits import delete_slot_limit as delete_slot_limit
    from reeve.wire.endpoints.limits import filter_slot_limits as filter_slot_limits
    from reeve.wire.endpoints.limits import increment_slots as increment_slots
    from reeve.wire.endpoints.limits import read_slot_limit as read_slot_limit
    from reeve.wire.endpoints.limits import update_slot_limit as update_slot_limit
    from reeve.wire.endpoints.logs import filter_logs as filter_logs
    from reeve.wire.endpoints.notification_policies import (
        create_notification_policy as create_notification_policy,
    )
    from reeve.wire.endpoints.notification_policies import (
        delete_notification_policy as delete_notification_policy,
    )
    from reeve.wire.endpoints.notification_policies import (
        filter_notification_policies as filter_notification_policies,
    )
    from reeve.wire.endpoints.notification_policies import (
        read_notification_policy as read_notification_policy,
    )
    from reeve.wire.endpoints.notification_policies import (
        update_notification_policy as update_notification_policy,
    )
    from reeve.wire.endpoints.saved_searches import delete_saved_search as delete_saved_search
    from reeve.wire.endpoints.saved_searches import filter_saved_searches as filter_saved_searches
    from reeve.wire.endpoints.saved_searches import put_saved_search as put_saved_search
    from reeve.wire.endpoints.saved_searches import read_saved_search as read_saved_search
    from reeve.wire.endpoints.service import admin_settings as admin_settings
    from reeve.wire.endpoints.service import admin_version as admin_version
    from reeve.wire.endpoints.service import clear_database as clear_database
    from reeve.wire.endpoints.service import create_database as create_database
    from reeve.wire.endpoints.service import csrf_token as csrf_token
    from reeve.wire.endpoints.service import drop_database as drop_database
    from reeve.wire.endpoints.service import health as health
    from reeve.wire.endpoints.service import hello as hello
    from reeve.wire.endpoints.service import ready as ready
    from reeve.wire.endpoints.service import server_info as server_info
    from reeve.wire.endpoints.service import validate_template as validate_template
    from reeve.wire.endpoints.service import version as version
    from reeve.wire.endpoints.table import Door as Door
    from reeve.wire.endpoints.table import Endpoint as Endpoint
    from reeve.wire.endpoints.tag_limits import create_tag_limit as create_tag_limit
    from reeve.wire.endpoints.tag_limits import delete_tag_limit as delete_tag_limit
    from reeve.wire.endpoints.tag_limits import delete_tag_limit_by_tag as delete_tag_limit_by_tag
    from reeve.wire.endpoints.tag_limits import filter_tag_limits as filter_tag_limits
    from reeve.wire.endpoints.tag_limits import read_tag_limit as read_tag_limit
    from reeve.wire.endpoints.tag_limits import read_tag_limit_by_tag as read_tag_limit_by_tag
    from reeve.wire.endpoints.tag_limits import reset_tag_limit as reset_tag_limit
    from reeve.wire.endpoints.task_runs import count_task_runs as count_task_runs
    from reeve.wire.endpoints.task_runs import delete_task_run as delete_task_run
    from reeve.wire.endpoints.task_runs import filter_task_runs as filter_task_runs
    from reeve.wire.endpoints.task_runs import read_task_run as read_task_run
    from reeve.wire.endpoints.task_runs import read_task_run_state as read_task_run_state
    from reeve.wire.endpoints.task_runs import task_run_history as task_run_history
    from reeve.wire.endpoints.task_runs import task_run_states as task_run_states
    from reeve.wire.endpoints.task_runs import update_task_run as update_task_run
    from reeve.wire.endpoints.ui import ui_check_values as ui_check_values
    from reeve.wire.endpoints.ui import ui_count_task_runs as ui_count_task_runs
    from reeve.wire.endpoints.ui import ui_flow_run_history as ui_flow_run_history
    from reeve.wire.endpoints.ui import ui_task_run_dashboard as ui_task_run_dashboard
    from reeve.wire.endpoints.variables import count_variables as count_variables
    from reeve.wire.endpoints.variables import create_variable as create_variable
    from reeve.wire.endpoints.variables import delete_variable as delete_variable
    from reeve.wire.endpoints.variables import delete_variable_by_id as delete_variable_by_id
    from reeve.wire.endpoints.variables import filter_variables as filter_variables
    from reeve.wire.endpoints.variables import read_variable as read_variable
    from reeve.wire.endpoints.variables import read_variable_by_id as read_variable_by_id
    from reeve.wire.endpoints.variables import update_variable as update_variable
    from reeve.wire.endpoints.variables import update_variable_by_id as update_variable_by_id
    from reeve.wire.endpoints.work_pools import count_work_pools as count_work_pools
    from reeve.wire.endpoints.work_pools import create_work_pool as create_work_pool
    from reeve.wire.endpoints.work_pools import delete_work_pool as delete_work_pool
    from reeve.wire.endpoints.work_pools import delete_worker as delete_worker
    from reeve.wire.endpoints.work_pools import filter_work_pools as filter_work_pools
    from reeve.wire.endpoints.work_pools import filter_workers as filter_workers
    from reeve.wire.endpoints.work_pools import pool_runs as pool_runs
    from reeve.wire.endpoints.work_pools import read_work_pool as read_work_pool
    from reeve.wire.endpoints.work_pools import set_pool_options as set_pool_options
    from reeve.wire.endpoints.work_pools import update_work_pool as update_work_pool
    from reeve.wire.endpoints.work_pools import worker_heartbeat as worker_heartbeat
    from reeve.wire.endpoints.work_queues import create_pool_queue as create_pool_queue
    from reeve.wire.endpoints.work_queues import create_work_queue as create_work_queue
    from reeve.wire.endpoints.work_queues import delete_pool_queue as delete_pool_queue
    from reeve.wire.endpoints.work_queues import delete_work_queue as delete_work_queue
    from reeve.wire.endpoints.work_queues import filter_pool_queues as filter_pool_queues
    from reeve.wire.endpoints.work_queues import filter_work_queues as filter_work_queues
    from reeve.wire.endpoints.work_queues import queue_runs as queue_runs
    from reeve.wire.endpoints.work_queues import read_pool_queue as read_pool_queue
    from reeve.wire.endpoints.work_queues import read_work_queue as read_work_queue
    from reeve.wire.endpoints.work_queues import read_work_queue_by_name as read_work_queue_by_name
    from reeve.wire.endpoints.work_queues import update_pool_queue as update_pool_queue
    from reeve.wire.endpoints.work_queues import update_work_queue as update_work_queue
    from reeve.wire.endpoints.work_queues import work_queue_status as work_queue_status
    from reeve.wire.endpoints.worker_types import read_collection_view as read_collection_view
else:  # a type checker would take any word for one of these
    __getattr__ = loader(
        __name__,
        {
            "agents": (
                "list_agents",
                "poll_agent",
                "read_agent",
                "register_agent",
                "set_agent_mode",
                "stop_agent",
            ),
            "artifacts": (
                "count_artifacts",
                "count_latest_artifacts",
                "create_artifact",
                "delete_artifact",
                "filter_artifacts",
                "filter_latest_artifacts",
                "read_artifact",
                "read_latest_artifact",
                "update_artifact",
            ),
            "attempts": (
                "attempt_output",
                "end_self_attempt",
                "flow_run_attempts",
                "open_self_attempt",
                "relay_calls",
                "renew_attempts",
                "report_attempts",
            ),
            "blocks": (
                "block_capabilities",
                "block_documents_of_type",
                "count_block_documents",
                "create_block_document",
                "create_block_schema",
                "create_block_type",
                "delete_block_document",
                "delete_block_schema",
                "delete_block_type",
                "filter_block_documents",
                "filter_block_schemas",
                "filter_block_types",
                "install_system_block_types",
                "read_block_document",
                "read_block_document_by_name",
                "read_block_schema",
                "read_block_schema_by_checksum",
                "read_block_type",
                "read_block_type_by_slug",
                "update_block_document",
                "update_block_type",
            ),
            "deployments": (
                "check_work_queues",
                "count_deployments",
                "create_deployment",
                "create_run_of_deployment",
                "create_schedules",
                "delete_deployment",
                "delete_schedule",
                "deployment_runs",
                "filter_deployments",
                "pause_deployment",
                "read_deployment",
                "read_deployment_by_name",
                "read_deployment_options",
                "read_schedule_policies",
                "read_schedules",
                "resume_deployment",
                "schedule_deployment",
                "set_deployment_options",
                "set_schedule_active",
                "set_schedule_inactive",
                "set_schedule_policies",
                "update_deployment",
                "update_schedule",
            ),
            "engine": (
                "create_flow",
                "create_flow_run",
                "create_logs",
                "create_task_run",
                "read_flow_run",
                "report_task_runs",
                "set_code_version",
                "set_flow_run_state",
                "set_task_run_state",
                "update_flow_run",
            ),
            "events": (
                "automations_about",
                "change_automation",
                "count_automations",
                "count_events",
                "create_automation",
                "create_events",
                "delete_automation",
                "delete_automations_of",
                "filter_automations",
                "filter_events",
                "next_events",
                "read_automation",
                "replace_automation",
            ),
            "everything": (
                "E",
                "ENDPOINTS",
            ),
            "flow_runs": (
                "cancel_flow_run",
                "count_flow_runs",
                "delete_flow_run",
                "explain_flow_run",
                "filter_flow_runs",
                "flow_run_dependencies",
                "flow_run_graph",
                "flow_run_history",
                "flow_run_lateness",
                "flow_run_states",
                "follow_flow_run",
                "read_flow_run_state",
                "resume_flow_run",
            ),
            "flows": (
                "count_flows",
                "delete_flow",
                "filter_flows",
                "read_flow",
                "read_flow_by_name",
                "update_flow",
            ),
            "inputs": (
                "create_input",
                "delete_input",
                "filter_inputs",
                "read_input",
            ),
            "limits": (
                "create_slot_limit",
                "decrement_slots",
                "delete_slot_limit",
                "filter_slot_limits",
                "increment_slots",
                "read_slot_limit",
                "update_slot_limit",
            ),
            "logs": ("filter_logs",),
            "notification_policies": (
                "create_notification_policy",
                "delete_notification_policy",
                "filter_notification_policies",
                "read_notification_policy",
                "update_notification_policy",
            ),
            "saved_searches": (
                "delete_saved_search",
                "filter_saved_searches",
                "put_saved_search",
                "read_saved_search",
            ),
            "service": (
                "admin_settings",
                "admin_version",
                "clear_database",
                "create_database",
                "csrf_token",
                "drop_database",
                "health",
                "hello",
                "ready",
                "server_info",
                "validate_template",
                "version",
            ),
            "table": (
                "Door",
                "Endpoint",
            ),
            "tag_limits": (
                "create_tag_limit",
                "delete_tag_limit",
                "delete_tag_limit_by_tag",
                "filter_tag_limits",
                "read_tag_limit",
                "read_tag_limit_by_tag",
                "reset_tag_limit",
            ),
            "task_runs": (
                "count_task_runs",
                "delete_task_run",
                "filter_task_runs",
                "read_task_run",
                "read_task_run_state",
                "task_run_history",
                "task_run_states",
                "update_task_run",
            ),
            "ui": (
                "ui_check_values",
                "ui_count_task_runs",
                "ui_flow_run_history",
                "ui_task_run_dashboard",
            ),
            "variables": (
                "count_variables",
                "create_variable",
                "delete_variable",
                "delete_variable_by_id",
                "filter_variables",
                "read_variable",
                "read_variable_by_id",
                "update_variable",
                "update_variable_by_id",
            ),
            "work_pools": (
                "count_work_pools",
                "create_work_pool",
                "delete_work_pool",
                "delete_worker",
                "filter_work_pools",
                "filter_workers",
                "pool_runs",
                "read_work_pool",
                "set_pool_options",
                "update_work_pool",
                "worker_heartbeat",
            ),
            "work_queues": (
                "create_pool_queue",
                "create_work_queue",
                "delete_pool_queue",
                "delete_work_queue",
                "filter_pool_queues",
                "filter_work_queues",
                "queue_runs",
                "read_pool_queue",
                "read_work_queue",
                "read_work_queue_by_name",
                "update_pool_queue",
                "update_work_queue",
                "work_queue_status",
            ),
            "worker_types": ("read_collection_view",),
        },
    )
