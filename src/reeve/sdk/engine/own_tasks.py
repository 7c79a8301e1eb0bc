"""Task runs whose states are judged in this process, by the server's own rules, and told to it afterwards.

They are those of which the server knows nothing that this process does not know: of the first try of a flow
run, without a cache key, and without tags, by which a server limits tasks. All others are asked for singly.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING
from uuid import UUID

from msgspec.structs import replace

from reeve.core.rules.shared import is_persisted
from reeve.core.states import ProposedState, StateType, default_name, propose
from reeve.sdk.engine.ledger import Ledger, Send
from reeve.sdk.engine.run import Accepted, Answer, Kind, Opened, Rejected, TaskRunSpec
from reeve.wire import requests, responses

if TYPE_CHECKING:
    from reeve.sdk.engine.nowhere import Nowhere

_FIRST = default_name(StateType.RUNNING)  # later starts of a flow run have other names (api-contract §8.2)
_PENDING = propose(StateType.PENDING)


class OwnTasks:
    """The task runs of one attempt that it judges itself.

    ``fresh``: the flow runs that nobody has begun before this process.
    """

    def __init__(self, send: Send, fresh: Sequence[UUID] = ()) -> None:
        self._send = send
        self._ledger: Ledger | None = None
        self._judge: Nowhere | None = None
        self._lock = threading.Lock()
        self._fresh = set(fresh)
        self._first_tries: set[UUID] = set()
        self._halted: frozenset[UUID] = frozenset()
        self._flow_runs: dict[UUID, UUID] = {}  # of the task runs that have not ended

    @property
    def ledger(self) -> Ledger:
        """What there is to tell of them, once there is anything."""
        if self._ledger is None:
            with self._lock:
                self._ledger = self._ledger or Ledger(self._send, self._heard)
        return self._ledger

    def flush(self) -> None:
        """Wait until the server has all that there is to tell."""
        if self._ledger is not None:
            self._ledger.flush()

    def close(self, seconds: float) -> None:
        """Tell the rest, for at most ``seconds``."""
        if self._ledger is not None:
            self._ledger.close(seconds)

    @property
    def _rules(self) -> Nowhere:
        with self._lock:
            if self._judge is None:
                from reeve.sdk.engine.nowhere import Nowhere  # a run without tasks starts without the rules

                self._judge = Nowhere()
            return self._judge

    def flow_run_opened(self, run_id: UUID) -> None:
        """Take note of a flow run that this process has made."""
        self._fresh.add(run_id)

    def flow_run_entered(self, run_id: UUID, state: ProposedState) -> None:
        """Take note of a flow run's state: in its first RUNNING its tasks are new, later they may not be."""
        if state.type is StateType.RUNNING and state.name == _FIRST and run_id in self._fresh:
            self._first_tries.add(run_id)
        else:
            self._first_tries.discard(run_id)
        self._fresh.discard(run_id)

    def takes(self, spec: TaskRunSpec) -> bool:
        """Whether a task run is to be opened here."""
        return spec.flow_run_id in self._first_tries and spec.shelf is None and not spec.tags

    def judges(self, run_id: UUID, state: ProposedState) -> bool:
        """Whether this state of a task run is judged here: a start in a flow run that is halted is not."""
        flow_run_id = self._flow_runs.get(run_id)
        if flow_run_id is None:
            return False
        return state.type is not StateType.RUNNING or flow_run_id not in self._halted

    def waits(self, state: ProposedState | None = None) -> bool:
        """Whether telling this takes its time: a result is only kept once the server knows where it is."""
        return self.ledger.is_full or (state is not None and is_persisted(state.data))

    def open(self, spec: TaskRunSpec) -> Opened:
        """Make a task run that is Pending."""
        assert spec.flow_run_id is not None, "it is taken as one of a flow run"
        opened = self._rules.open_task_run(spec)
        self._flow_runs[opened.id] = spec.flow_run_id
        made = requests.MadeTaskRun(
            id=opened.id,
            flow_run_id=spec.flow_run_id,
            task_key=spec.key,
            dynamic_key=spec.position,
            name=opened.name,
            empirical_policy=spec.policy,
            task_inputs={name: list(ids) for name, ids in spec.inputs.items()},
        )
        self.ledger.made(made)
        self.ledger.entered(opened.id, _PENDING)
        return opened

    def propose(self, run_id: UUID, state: ProposedState) -> Answer:
        """Judge a state, and note what came of it."""
        answer = self._rules.propose(Kind.TASK, run_id, state)
        if not isinstance(answer, Accepted | Rejected):
            return answer
        entered = answer.state
        flow_run_id = self._flow_runs[run_id]
        if entered.type.is_final:
            del self._flow_runs[run_id]
        self.ledger.entered(run_id, entered)
        if is_persisted(entered.data):
            self.ledger.flush()
        told = replace(entered, details=replace(entered.details, flow_run_id=flow_run_id))
        return Accepted(told) if isinstance(answer, Accepted) else Rejected(told, answer.delay, answer.reason)

    def hand_over(self, run_id: UUID) -> None:
        """Have the server judge a task run from now on, if it was judged here."""
        if self._flow_runs.pop(run_id, None) is not None:
            self._rules.forget(run_id)
            self.flush()

    def goes_on(self) -> None:
        """Take note that the server lets tasks start again."""
        self._halted = frozenset()

    def _heard(self, receipt: responses.TaskRunReceipt) -> None:
        self._halted = frozenset(receipt.halted)
