"""The bodies of answers: 2.20 objects exactly (api-contract §5.1), and reeve's own."""

from __future__ import annotations

from reeve.wire.responses.agents import Agent as Agent
from reeve.wire.responses.agents import Cancel as Cancel
from reeve.wire.responses.agents import Grant as Grant
from reeve.wire.responses.agents import Registration as Registration
from reeve.wire.responses.agents import Work as Work
from reeve.wire.responses.artifacts import Artifact as Artifact
from reeve.wire.responses.artifacts import ArtifactCollection as ArtifactCollection
from reeve.wire.responses.attempts import Attempt as Attempt
from reeve.wire.responses.attempts import Receipt as Receipt
from reeve.wire.responses.attempts import Renewal as Renewal
from reeve.wire.responses.blocks import BlockDocument as BlockDocument
from reeve.wire.responses.blocks import BlockSchema as BlockSchema
from reeve.wire.responses.blocks import BlockType as BlockType
from reeve.wire.responses.deployments import DeploymentOptions as DeploymentOptions
from reeve.wire.responses.deployments import DeploymentResponse as DeploymentResponse
from reeve.wire.responses.deployments import DeploymentSchedule as DeploymentSchedule
from reeve.wire.responses.flow_runs import Explanation as Explanation
from reeve.wire.responses.flow_runs import FlowRun as FlowRun
from reeve.wire.responses.flow_runs import FlowRunResponse as FlowRunResponse
from reeve.wire.responses.flow_runs import Followed as Followed
from reeve.wire.responses.flow_runs import WorkerFlowRunResponse as WorkerFlowRunResponse
from reeve.wire.responses.flows import Flow as Flow
from reeve.wire.responses.inputs import FlowRunInput as FlowRunInput
from reeve.wire.responses.limits import MinimalConcurrencyLimit as MinimalConcurrencyLimit
from reeve.wire.responses.limits import NewSlotLimit as NewSlotLimit
from reeve.wire.responses.limits import SlotLimit as SlotLimit
from reeve.wire.responses.logs import Log as Log
from reeve.wire.responses.notification_policies import NotificationPolicy as NotificationPolicy
from reeve.wire.responses.saved_searches import SavedSearch as SavedSearch
from reeve.wire.responses.service import Problem as Problem
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
