"""The nouns of the engine: a run of this process, and what is told about it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from datetime import datetime, timedelta
from enum import Enum
from typing import Any, Protocol
from uuid import UUID

from msgspec import Struct, field

from reeve.core.runs import FlowRunPolicy, TaskRunPolicy
from reeve.core.states import ProposedState, StateType
from reeve.sdk.states import State

FLOW_LOGGER = "reeve.flow_runs"
TASK_LOGGER = "reeve.task_runs"


class Kind(Enum):
    """What runs; the value begins the sentences about it."""

    FLOW = "Flow run"
    TASK = "Task run"


def _tell(hook: Callable[..., Any], state: State[Any]) -> Any:
    return hook(state)


class RunLogger(logging.LoggerAdapter[logging.Logger]):
    """A logger whose lines carry the ids of their run."""

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        """Add the run to what the caller gave as ``extra``."""
        kwargs["extra"] = {**(kwargs.get("extra") or {}), **(self.extra or {})}
        return msg, kwargs


class Scope(AbstractContextManager[Any], AbstractAsyncContextManager[Any], Protocol):
    """The surroundings of one try: what user code finds around it, and what is waited for at its end."""


class Subject(Struct, eq=False, kw_only=True):
    """What states are about: a run. ``flow_run_id``: the one that a task run is of."""

    kind: Kind
    id: UUID
    name: str
    flow_run_id: UUID | None = None

    @property
    def log(self) -> logging.LoggerAdapter[logging.Logger]:
        """Where it logs; made when there is something to say, which most runs have not."""
        if self.kind is Kind.FLOW:
            ids: dict[str, object] = {"flow_run_id": self.id, "task_run_id": None}
            return RunLogger(logging.getLogger(FLOW_LOGGER), {"run": self.name, **ids})
        ids = {"flow_run_id": self.flow_run_id, "task_run_id": self.id}
        return RunLogger(logging.getLogger(TASK_LOGGER), {"run": self.name, **ids})


class Keeper(Protocol):
    """Writes and reads the results of a run; ``persists``: whether its own is to be written."""

    persists: bool

    def begin(self) -> None:
        """Take note of the parameters, before the user's code changes them."""

    def save(self, flow_run_id: UUID | None, run_id: UUID, value: Any, warn: Callable[..., None]) -> Any:
        """Write a value down and return what a state says of it; what hinders is told to ``warn``."""

    def load(self, data: Any, *, of_this_call: bool) -> Any:
        """Read a value by what a state says of it; ReeveError if it cannot be used."""


class Caching(Protocol):
    """Under which key a task's result is found again, and for how long."""

    @property
    def key(self) -> Callable[[], str | None]:
        """Make the key; may ask the user's code."""

    @property
    def good_for(self) -> timedelta | None:
        """How long a result is found, if not for ever."""

    @property
    def refresh(self) -> bool:
        """Whether to compute anew, and to keep that."""


class Shelf(Protocol):
    """Where the reporter without a server finds and keeps what is cached."""

    def find(self, key: str, now: datetime) -> Any:
        """Return the data of the state that is found under a key; None if there is none, or no more."""

    def keep(self, key: str, data: Any, expires: datetime | None) -> None:
        """Have data found under a key from now on."""


class Run(Subject, eq=False, kw_only=True):
    """A run that this process executes. ``body`` is one try of the user's function: value or coroutine.

    ``elsewhere`` calls it in another process instead, and returns its Outcome.
    ``asks_retry`` says of a try's final state whether another is wanted; None: of every failure. ``hooks``
    are called by ``tell(hook, state)``, inside of ``aside``. ``process_id``: the flow run this process was
    launched for.
    """

    body: Callable[[], Any]
    elsewhere: Callable[[Run], Any] | None = None
    scope: Callable[[Run], Scope]
    aside: Callable[[Run], Scope]
    timeout: float | None = None
    asks_retry: Callable[[State[Any]], bool] | None = None
    hooks: Mapping[StateType, Sequence[Callable[..., Any]]] = field(default_factory=dict)
    tell: Callable[[Callable[..., Any], State[Any]], Any] = _tell
    process_id: UUID | None = None
    keeper: Keeper | None = None
    caching: Caching | None = None
    cache_key: str | None = None
    tries: int = 0


class FlowRunSpec(Struct, frozen=True, kw_only=True):
    """A flow run to be opened: a subflow, or a flow that is called without a server.

    ``key`` and ``position`` say which call inside ``parent_id`` it is, as those of a task.
    """

    flow_name: str
    version: str | None
    parameters: Mapping[str, Any]
    policy: FlowRunPolicy
    parent_id: UUID | None = None
    key: str = ""
    position: str = ""
    run_name: str | None = None
    anew: bool = False  # though there is a result


class TaskRunSpec(Struct, frozen=True, kw_only=True):
    """A task run to be opened; ``inputs`` names the task runs whose results its parameters are."""

    name: str
    key: str
    position: str
    flow_run_id: UUID | None
    policy: TaskRunPolicy
    tags: Sequence[str] = ()
    inputs: Mapping[str, Sequence[UUID]] = field(default_factory=dict)
    run_name: str | None = None
    shelf: Shelf | None = None


class Opened(Struct, frozen=True):
    """The id and the name that an opened run has been given.

    ``done``: the state in which an earlier try or attempt has left it, with a result.
    """

    id: UUID
    name: str
    done: ProposedState | None = None


class Accepted(Struct, frozen=True):
    """The proposed state was entered: under its own name or a better one, with the ids filled in."""

    state: ProposedState


class Rejected(Struct, frozen=True):
    """Another state holds instead; if it is one that waits, it goes on after ``delay`` seconds."""

    state: ProposedState
    delay: float
    reason: str | None


class Wait(Struct, frozen=True):
    """Propose the same again after ``delay`` seconds."""

    delay: float
    reason: str | None


class Aborted(Struct, frozen=True):
    """Give the run up."""

    reason: str | None


Answer = Accepted | Rejected | Wait | Aborted


class Reporter(Protocol):
    """Where runs are opened and states go."""

    def blocks(self, report: Any) -> bool:
        """Whether the answer to a Report may take its time, so that it must not be waited for on a loop."""

    @property
    def server(self) -> tuple[str, str | None] | None:
        """The address and the key with which other processes report as well; None if nobody hears."""

    def open_flow_run(self, spec: FlowRunSpec) -> Opened:
        """Make a flow run that is Pending."""

    def open_task_run(self, spec: TaskRunSpec) -> Opened:
        """Make a task run that is Pending, or find the one this call made in an earlier try."""

    def propose(self, kind: Kind, run_id: UUID, state: ProposedState, *, force: bool = False) -> Answer:
        """Ask for a state; RunStopped when the run belongs to another attempt by now.

        ``force``: though the run has a result already.
        """

    def look(self, flow_run_id: UUID) -> StateType | None:
        """Return the kind of state a flow run is in, soon; None if there is nobody who knows."""
