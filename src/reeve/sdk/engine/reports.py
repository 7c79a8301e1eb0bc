"""What the engine tells and asks about runs: the effects that concern a reporter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias
from uuid import UUID

from reeve.core.states import ProposedState
from reeve.sdk.engine.run import FlowRunSpec, Kind, TaskRunSpec


@dataclass(frozen=True, slots=True)
class OpenFlowRun:
    """Make a flow run → Opened."""

    spec: FlowRunSpec


@dataclass(frozen=True, slots=True)
class OpenTaskRun:
    """Make a task run → Opened."""

    spec: TaskRunSpec


@dataclass(frozen=True, slots=True)
class Propose:
    """Ask for a state → Answer."""

    kind: Kind
    run_id: UUID
    state: ProposedState
    force: bool = False


@dataclass(frozen=True, slots=True)
class Look:
    """Find out what state the process's flow run is in → StateType, or None if nobody says."""

    flow_run_id: UUID


Report: TypeAlias = OpenFlowRun | OpenTaskRun | Propose | Look
