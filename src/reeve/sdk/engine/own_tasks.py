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

_RUNNING = StateType.RUNNING
_FIRST = default_name(_RUNNING)  # later starts of a flow run have other names (api-contract §8.2)
_PENDING = propose(StateType.PENDING)

_beginning = threading.Lock()  # held where something is made that all tasks share


class OwnTasks:
    """The task runs of one attempt that it judges itself.

    ``fresh``: the flow runs that nobody has begun before this process.
    """

    def __init__(self, send: Send, fresh: Sequence[UUID] = ()) -> None:
        self._send = send
        self.begun: Ledger | None = None  # the ledger, once there is anything to tell
        self._judge: Nowhere | None = None
        self._fresh: set[int] = set()
        self._first_tries: set[int] = set()
        self._halted: frozenset[UUID] = frozenset()
        self._flow_runs: dict[UUID, UUID] = {}  # of the task runs that have not ended
        for run_id in fresh:
            self._fresh.add(run_id.int)

    @property
    def ledger(self) -> Ledger:
        """What there is to tell of them."""
        if self.begun is None:
            with _beginning:
                self.begun = self.begun or Ledger(self._send, self._heard)
        return self.begun

    def flush(self) -> None:
        """Wait until the server has all that there is to tell."""
        if self.begun is not None:
            self.begun.flush()

    @property
    def _rules(self) -> Nowhere:
        with _beginning:
            if self._judge is None:
                from reeve.sdk.engine.nowhere import Nowhere  # a run without tasks starts without the rules

                self._judge = Nowhere()
            return self._judge

    def flow_run_opened(self, run_id: UUID) -> None:
        """Take note of a flow run that this process has made."""
        self._fresh.add(run_id.int)

    def flow_run_entered(self, run_id: UUID, state: ProposedState) -> None:
        """Take note of a flow run's state: in its first RUNNING its tasks are new, later they may not be."""
        number = run_id.int  # Python makes the hash of an id, and C that of a number
        if state.type is _RUNNING and state.name == _FIRST and number in self._fresh:
            self._first_tries.add(number)
        else:
            self._first_tries.discard(number)
        self._fresh.discard(number)

    def takes(self, spec: TaskRunSpec) -> bool:
        """Whether a task run is to be opened here."""
        if spec.flow_run_id is None or spec.shelf is not None or spec.tags:
            return False
        return spec.flow_run_id.int in self._first_tries

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
            self.flush()
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
