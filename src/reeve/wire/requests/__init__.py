"""The bodies of requests. 2.20 request models refuse unknown fields; composite bodies ignore them (§1)."""

from __future__ import annotations

from reeve.wire.requests.agents import Farewell as Farewell
from reeve.wire.requests.agents import Poll as Poll
from reeve.wire.requests.agents import Register as Register
from reeve.wire.requests.artifacts import ArtifactCreate as ArtifactCreate
from reeve.wire.requests.attempts import AnyReport as AnyReport
from reeve.wire.requests.attempts import AttemptToken as AttemptToken
from reeve.wire.requests.attempts import Exited as Exited
from reeve.wire.requests.attempts import Launched as Launched
from reeve.wire.requests.attempts import NotLaunched as NotLaunched
from reeve.wire.requests.attempts import Output as Output
from reeve.wire.requests.attempts import OutputChunk as OutputChunk
from reeve.wire.requests.attempts import Renew as Renew
from reeve.wire.requests.attempts import Report as Report
from reeve.wire.requests.attempts import Reports as Reports
from reeve.wire.requests.attempts import StopFailed as StopFailed
from reeve.wire.requests.deployments import DeploymentCreate as DeploymentCreate
from reeve.wire.requests.deployments import DeploymentOptions as DeploymentOptions
from reeve.wire.requests.deployments import DeploymentRuns as DeploymentRuns
from reeve.wire.requests.deployments import DeploymentUpdate as DeploymentUpdate
from reeve.wire.requests.deployments import ScheduleCreate as ScheduleCreate
from reeve.wire.requests.flow_runs import CancelRun as CancelRun
from reeve.wire.requests.flow_runs import DeploymentFlowRunCreate as DeploymentFlowRunCreate
from reeve.wire.requests.flow_runs import FlowRunCreate as FlowRunCreate
from reeve.wire.requests.flow_runs import FlowRunUpdate as FlowRunUpdate
from reeve.wire.requests.flow_runs import Follow as Follow
from reeve.wire.requests.flow_runs import Resume as Resume
from reeve.wire.requests.flows import FlowCreate as FlowCreate
from reeve.wire.requests.inputs import FlowRunInputCreate as FlowRunInputCreate
from reeve.wire.requests.inputs import FlowRunInputFilter as FlowRunInputFilter
from reeve.wire.requests.limits import Slots as Slots
from reeve.wire.requests.logs import LogCreate as LogCreate
from reeve.wire.requests.states import SetState as SetState
from reeve.wire.requests.states import StateCreate as StateCreate
from reeve.wire.requests.task_runs import TaskRunCreate as TaskRunCreate
from reeve.wire.requests.task_runs import TaskRunUpdate as TaskRunUpdate
from reeve.wire.requests.work_pools import PoolOptions as PoolOptions
from reeve.wire.requests.work_pools import PoolRuns as PoolRuns
from reeve.wire.requests.work_pools import WorkerHeartbeat as WorkerHeartbeat
from reeve.wire.requests.work_pools import WorkPoolCreate as WorkPoolCreate
from reeve.wire.requests.work_pools import WorkPoolUpdate as WorkPoolUpdate
from reeve.wire.requests.work_queues import QueueRuns as QueueRuns
from reeve.wire.requests.work_queues import WorkQueueCreate as WorkQueueCreate
from reeve.wire.requests.work_queues import WorkQueueUpdate as WorkQueueUpdate
