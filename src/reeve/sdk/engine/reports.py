"""What the engine tells and asks about runs: the effects that concern a reporter."""

from __future__ import annotations

from typing import TypeAlias
from uuid import UUID

from msgspec import Struct

from reeve.core.states import ProposedState
from reeve.sdk.engine.run import FlowRunSpec, Kind, TaskRunSpec


class OpenFlowRun(Struct, frozen=True):
    """Make a flow run → Opened."""

    spec: FlowRunSpec


class OpenTaskRun(Struct, frozen=True):
    """Make a task run → Opened."""

    spec: TaskRunSpec


class Propose(Struct, frozen=True):
    """Ask for a state → Answer."""

    kind: Kind
    run_id: UUID
    state: ProposedState
    force: bool = False


class Look(Struct, frozen=True):
    """Find out what state the process's flow run is in → StateType, or None if nobody says."""

    flow_run_id: UUID


Report: TypeAlias = OpenFlowRun | OpenTaskRun | Propose | Look
