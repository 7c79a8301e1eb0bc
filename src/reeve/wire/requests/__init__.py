"""The bodies of requests. 2.20 request models refuse unknown fields; composite bodies ignore them (§1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reeve.wire.lazy import loader

if TYPE_CHECKING:
    from reeve.wire.requests.agents import Farewell as Farewell
    from reeve.wire.requests.agents import Poll as Poll
    from reeve.wire.requests.agents import Register as Register
    from reeve.wire.requests.agents import SetMode as SetMode
    from reeve.wire.requests.artifacts import ArtifactCreate as ArtifactCreate
    from reeve.wire.requests.artifacts import ArtifactUpdate as ArtifactUpdate
    from reeve.wire.requests.attempts import AnyReport as AnyReport
    from reeve.wire.requests.attempts import AttemptReports as AttemptReports
    from reeve.wire.requests.attempts import AttemptToken as AttemptToken
    from reeve.wire.requests.attempts import Call as Call
    from reeve.wire.requests.attempts import Calls as Calls
    from reeve.wire.requests.attempts import CodeVersion as CodeVersion
    from reeve.wire.requests.attempts import EndAttempt as EndAttempt
    from reeve.wire.requests.attempts import EnteredState as EnteredState
    from reeve.wire.requests.attempts import Exited as Exited
    from reeve.wire.requests.attempts import Launched as Launched
    from reeve.wire.requests.attempts import MadeTaskRun as MadeTaskRun
    from reeve.wire.requests.attempts import Note as Note
    from reeve.wire.requests.attempts import NotLaunched as NotLaunched
    from reeve.wire.requests.attempts import OpenAttempt as OpenAttempt
    from reeve.wire.requests.attempts import Output as Output
    from reeve.wire.requests.attempts import OutputChunk as OutputChunk
    from reeve.wire.requests.attempts import Renew as Renew
    from reeve.wire.requests.attempts import Report as Report
    from reeve.wire.requests.attempts import Reports as Reports
    from reeve.wire.requests.attempts import StopFailed as StopFailed
    from reeve.wire.requests.attempts import TaskRunReports as TaskRunReports
    from reeve.wire.requests.blocks import BlockDocumentCreate as BlockDocumentCreate
    from reeve.wire.requests.blocks import BlockDocumentUpdate as BlockDocumentUpdate
    from reeve.wire.requests.blocks import BlockSchemaCreate as BlockSchemaCreate
    from reeve.wire.requests.blocks import BlockTypeCreate as BlockTypeCreate
    from reeve.wire.requests.blocks import BlockTypeUpdate as BlockTypeUpdate
    from reeve.wire.requests.deployments import DeploymentCreate as DeploymentCreate
    from reeve.wire.requests.deployments import DeploymentOptions as DeploymentOptions
    from reeve.wire.requests.deployments import DeploymentRuns as DeploymentRuns
    from reeve.wire.requests.deployments import DeploymentUpdate as DeploymentUpdate
    from reeve.wire.requests.deployments import Schedule as Schedule
    from reeve.wire.requests.deployments import ScheduleCreate as ScheduleCreate
    from reeve.wire.requests.deployments import SchedulePolicy as SchedulePolicy
    from reeve.wire.requests.deployments import ScheduleUpdate as ScheduleUpdate
    from reeve.wire.requests.flow_runs import CancelRun as CancelRun
    from reeve.wire.requests.flow_runs import DeploymentFlowRunCreate as DeploymentFlowRunCreate
    from reeve.wire.requests.flow_runs import FlowRunCreate as FlowRunCreate
    from reeve.wire.requests.flow_runs import FlowRunUpdate as FlowRunUpdate
    from reeve.wire.requests.flow_runs import Follow as Follow
    from reeve.wire.requests.flow_runs import Resume as Resume
    from reeve.wire.requests.flows import FlowCreate as FlowCreate
    from reeve.wire.requests.flows import FlowUpdate as FlowUpdate
    from reeve.wire.requests.history import FlowRunHistory as FlowRunHistory
    from reeve.wire.requests.history import TaskRunDashboard as TaskRunDashboard
    from reeve.wire.requests.history import TaskRunHistory as TaskRunHistory
    from reeve.wire.requests.history import ValuesCheck as ValuesCheck
    from reeve.wire.requests.inputs import FlowRunInputCreate as FlowRunInputCreate
    from reeve.wire.requests.inputs import FlowRunInputFilter as FlowRunInputFilter
    from reeve.wire.requests.limits import GiveSlots as GiveSlots
    from reeve.wire.requests.limits import SlotLimitCreate as SlotLimitCreate
    from reeve.wire.requests.limits import SlotLimitUpdate as SlotLimitUpdate
    from reeve.wire.requests.limits import TakeSlots as TakeSlots
    from reeve.wire.requests.logs import LogCreate as LogCreate
    from reeve.wire.requests.notification_policies import NotificationPolicyCreate as NotificationPolicyCreate
    from reeve.wire.requests.notification_policies import NotificationPolicyUpdate as NotificationPolicyUpdate
    from reeve.wire.requests.saved_searches import SavedSearchCreate as SavedSearchCreate
    from reeve.wire.requests.saved_searches import SearchFilter as SearchFilter
    from reeve.wire.requests.service import Confirmation as Confirmation
    from reeve.wire.requests.states import SetState as SetState
    from reeve.wire.requests.states import StateCreate as StateCreate
    from reeve.wire.requests.tag_limits import TagLimitCreate as TagLimitCreate
    from reeve.wire.requests.tag_limits import TagLimitReset as TagLimitReset
    from reeve.wire.requests.task_runs import TaskRunCreate as TaskRunCreate
    from reeve.wire.requests.task_runs import TaskRunUpdate as TaskRunUpdate
    from reeve.wire.requests.variables import VariableCreate as VariableCreate
    from reeve.wire.requests.variables import VariableUpdate as VariableUpdate
    from reeve.wire.requests.work_pools import PoolOptions as PoolOptions
    from reeve.wire.requests.work_pools import PoolRuns as PoolRuns
    from reeve.wire.requests.work_pools import WorkerHeartbeat as WorkerHeartbeat
    from reeve.wire.requests.work_pools import WorkPoolCreate as WorkPoolCreate
    from reeve.wire.requests.work_pools import WorkPoolUpdate as WorkPoolUpdate
    from reeve.wire.requests.work_queues import QueueRuns as QueueRuns
    from reeve.wire.requests.work_queues import WorkQueueCreate as WorkQueueCreate
    from reeve.wire.requests.work_queues import WorkQueueUpdate as WorkQueueUpdate
else:  # a type checker would take any word for one of these
    __getattr__ = loader(
        __name__,
        {
            "agents": (
                "Farewell",
                "Poll",
                "Register",
                "SetMode",
            ),
            "artifacts": (
                "ArtifactCreate",
                "ArtifactUpdate",
            ),
            "attempts": (
                "AnyReport",
                "AttemptReports",
                "AttemptToken",
                "Call",
                "Calls",
                "CodeVersion",
                "EndAttempt",
                "EnteredState",
                "Exited",
                "Launched",
                "MadeTaskRun",
                "NotLaunched",
                "Note",
                "OpenAttempt",
                "Output",
                "OutputChunk",
                "Renew",
                "Report",
                "Reports",
                "StopFailed",
                "TaskRunReports",
            ),
            "blocks": (
                "BlockDocumentCreate",
                "BlockDocumentUpdate",
                "BlockSchemaCreate",
                "BlockTypeCreate",
                "BlockTypeUpdate",
            ),
            "deployments": (
                "DeploymentCreate",
                "DeploymentOptions",
                "DeploymentRuns",
                "DeploymentUpdate",
                "Schedule",
                "ScheduleCreate",
                "SchedulePolicy",
                "ScheduleUpdate",
            ),
            "flow_runs": (
                "CancelRun",
                "DeploymentFlowRunCreate",
                "FlowRunCreate",
                "FlowRunUpdate",
                "Follow",
                "Resume",
            ),
            "flows": (
                "FlowCreate",
                "FlowUpdate",
            ),
            "history": (
                "FlowRunHistory",
                "TaskRunDashboard",
                "TaskRunHistory",
                "ValuesCheck",
            ),
            "inputs": (
                "FlowRunInputCreate",
                "FlowRunInputFilter",
            ),
            "limits": (
                "GiveSlots",
                "SlotLimitCreate",
                "SlotLimitUpdate",
                "TakeSlots",
            ),
            "logs": ("LogCreate",),
            "notification_policies": (
                "NotificationPolicyCreate",
                "NotificationPolicyUpdate",
            ),
            "saved_searches": (
                "SavedSearchCreate",
                "SearchFilter",
            ),
            "service": ("Confirmation",),
            "states": (
                "SetState",
                "StateCreate",
            ),
            "tag_limits": (
                "TagLimitCreate",
                "TagLimitReset",
            ),
            "task_runs": (
                "TaskRunCreate",
                "TaskRunUpdate",
            ),
            "variables": (
                "VariableCreate",
                "VariableUpdate",
            ),
            "work_pools": (
                "PoolOptions",
                "PoolRuns",
                "WorkPoolCreate",
                "WorkPoolUpdate",
                "WorkerHeartbeat",
            ),
            "work_queues": (
                "QueueRuns",
                "WorkQueueCreate",
                "WorkQueueUpdate",
            ),
        },
    )
