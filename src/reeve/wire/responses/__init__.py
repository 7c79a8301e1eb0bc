"""The bodies of answers: 2.20 objects exactly (api-contract §5.1), and reeve's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reeve.wire.lazy import loader

if TYPE_CHECKING:
    from reeve.wire.responses.agents import Agent as Agent
    from reeve.wire.responses.agents import AgentDetails as AgentDetails
    from reeve.wire.responses.agents import Cancel as Cancel
    from reeve.wire.responses.agents import Grant as Grant
    from reeve.wire.responses.agents import HeldRun as HeldRun
    from reeve.wire.responses.agents import Infrastructure as Infrastructure
    from reeve.wire.responses.agents import Registration as Registration
    from reeve.wire.responses.agents import ServedQueue as ServedQueue
    from reeve.wire.responses.agents import Work as Work
    from reeve.wire.responses.artifacts import Artifact as Artifact
    from reeve.wire.responses.artifacts import ArtifactCollection as ArtifactCollection
    from reeve.wire.responses.attempts import NOT_PASSED_ON as NOT_PASSED_ON
    from reeve.wire.responses.attempts import Attempt as Attempt
    from reeve.wire.responses.attempts import CallReply as CallReply
    from reeve.wire.responses.attempts import Receipt as Receipt
    from reeve.wire.responses.attempts import Renewal as Renewal
    from reeve.wire.responses.attempts import SelfAttempt as SelfAttempt
    from reeve.wire.responses.attempts import TaskRunReceipt as TaskRunReceipt
    from reeve.wire.responses.blocks import BlockDocument as BlockDocument
    from reeve.wire.responses.blocks import BlockSchema as BlockSchema
    from reeve.wire.responses.blocks import BlockType as BlockType
    from reeve.wire.responses.deployments import DeploymentOptions as DeploymentOptions
    from reeve.wire.responses.deployments import DeploymentResponse as DeploymentResponse
    from reeve.wire.responses.deployments import DeploymentSchedule as DeploymentSchedule
    from reeve.wire.responses.deployments import SchedulePolicy as SchedulePolicy
    from reeve.wire.responses.deployments import WorkQueue as WorkQueue
    from reeve.wire.responses.explanations import Cause as Cause
    from reeve.wire.responses.explanations import Explanation as Explanation
    from reeve.wire.responses.flow_runs import FlowRun as FlowRun
    from reeve.wire.responses.flow_runs import FlowRunResponse as FlowRunResponse
    from reeve.wire.responses.flow_runs import Followed as Followed
    from reeve.wire.responses.flow_runs import WorkerFlowRunResponse as WorkerFlowRunResponse
    from reeve.wire.responses.flows import Flow as Flow
    from reeve.wire.responses.graphs import Dependency as Dependency
    from reeve.wire.responses.graphs import Edge as Edge
    from reeve.wire.responses.graphs import Graph as Graph
    from reeve.wire.responses.graphs import GraphArtifact as GraphArtifact
    from reeve.wire.responses.graphs import GraphState as GraphState
    from reeve.wire.responses.graphs import Node as Node
    from reeve.wire.responses.graphs import Upstream as Upstream
    from reeve.wire.responses.history import CountByState as CountByState
    from reeve.wire.responses.history import HistoryInterval as HistoryInterval
    from reeve.wire.responses.history import HistoryState as HistoryState
    from reeve.wire.responses.history import SimpleFlowRun as SimpleFlowRun
    from reeve.wire.responses.history import TaskRunCount as TaskRunCount
    from reeve.wire.responses.history import ValuesVerdict as ValuesVerdict
    from reeve.wire.responses.inputs import FlowRunInput as FlowRunInput
    from reeve.wire.responses.limits import MinimalConcurrencyLimit as MinimalConcurrencyLimit
    from reeve.wire.responses.limits import NewSlotLimit as NewSlotLimit
    from reeve.wire.responses.limits import SlotLimit as SlotLimit
    from reeve.wire.responses.logs import Log as Log
    from reeve.wire.responses.notification_policies import NotificationPolicy as NotificationPolicy
    from reeve.wire.responses.problems import Fault as Fault
    from reeve.wire.responses.problems import Invalid as Invalid
    from reeve.wire.responses.problems import Missing as Missing
    from reeve.wire.responses.problems import Problem as Problem
    from reeve.wire.responses.problems import Refusal as Refusal
    from reeve.wire.responses.problems import Unavailable as Unavailable
    from reeve.wire.responses.saved_searches import SavedSearch as SavedSearch
    from reeve.wire.responses.service import ServerInfo as ServerInfo
    from reeve.wire.responses.states import OrchestrationResult as OrchestrationResult
    from reeve.wire.responses.states import State as State
    from reeve.wire.responses.states import StateDetails as StateDetails
    from reeve.wire.responses.tag_limits import TagLimit as TagLimit
    from reeve.wire.responses.task_runs import TaskRun as TaskRun
    from reeve.wire.responses.variables import Variable as Variable
    from reeve.wire.responses.work_pools import PoolOptions as PoolOptions
    from reeve.wire.responses.work_pools import Worker as Worker
    from reeve.wire.responses.work_pools import WorkPool as WorkPool
    from reeve.wire.responses.work_queues import WorkQueueHealthPolicy as WorkQueueHealthPolicy
    from reeve.wire.responses.work_queues import WorkQueueResponse as WorkQueueResponse
    from reeve.wire.responses.work_queues import WorkQueueStatusDetail as WorkQueueStatusDetail
else:  # a type checker would take any word for one of these
    __getattr__ = loader(
        __name__,
        {
            "agents": (
                "Agent",
                "AgentDetails",
                "Cancel",
                "Grant",
                "HeldRun",
                "Infrastructure",
                "Registration",
                "ServedQueue",
                "Work",
            ),
            "artifacts": (
                "Artifact",
                "ArtifactCollection",
            ),
            "attempts": (
                "Attempt",
                "CallReply",
                "NOT_PASSED_ON",
                "Receipt",
                "Renewal",
                "SelfAttempt",
                "TaskRunReceipt",
            ),
            "blocks": (
                "BlockDocument",
                "BlockSchema",
                "BlockType",
            ),
            "deployments": (
                "DeploymentOptions",
                "DeploymentResponse",
                "DeploymentSchedule",
                "SchedulePolicy",
                "WorkQueue",
            ),
            "explanations": (
                "Cause",
                "Explanation",
            ),
            "flow_runs": (
                "FlowRun",
                "FlowRunResponse",
                "Followed",
                "WorkerFlowRunResponse",
            ),
            "flows": ("Flow",),
            "graphs": (
                "Dependency",
                "Edge",
                "Graph",
                "GraphArtifact",
                "GraphState",
                "Node",
                "Upstream",
            ),
            "history": (
                "CountByState",
                "HistoryInterval",
                "HistoryState",
                "SimpleFlowRun",
                "TaskRunCount",
                "ValuesVerdict",
            ),
            "inputs": ("FlowRunInput",),
            "limits": (
                "MinimalConcurrencyLimit",
                "NewSlotLimit",
                "SlotLimit",
            ),
            "logs": ("Log",),
            "notification_policies": ("NotificationPolicy",),
            "problems": (
                "Fault",
                "Invalid",
                "Missing",
                "Problem",
                "Refusal",
                "Unavailable",
            ),
            "saved_searches": ("SavedSearch",),
            "service": ("ServerInfo",),
            "states": (
                "OrchestrationResult",
                "State",
                "StateDetails",
            ),
            "tag_limits": ("TagLimit",),
            "task_runs": ("TaskRun",),
            "variables": ("Variable",),
            "work_pools": (
                "PoolOptions",
                "WorkPool",
                "Worker",
            ),
            "work_queues": (
                "WorkQueueHealthPolicy",
                "WorkQueueResponse",
                "WorkQueueStatusDetail",
            ),
        },
    )
