"""How rules are asked: in order, until the first objects (api-contract §8.1)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Generic, TypeAlias, TypeVar

from msgspec import Struct, structs
from msgspec.structs import replace

from reeve.core.rules.fence import FenceFacts
from reeve.core.rules.verdict import Effect, RunT, SetStateStatus, Verdict
from reeve.core.states import FINAL, ProposedState, State, StateType

FactsT = TypeVar("FactsT", bound=FenceFacts)

SCHEDULED = StateType.SCHEDULED
PENDING = StateType.PENDING
RUNNING = StateType.RUNNING
COMPLETED = StateType.COMPLETED
FAILED = StateType.FAILED
CANCELLED = StateType.CANCELLED
CRASHED = StateType.CRASHED
PAUSED = StateType.PAUSED
CANCELLING = StateType.CANCELLING

TO_ANY: frozenset[StateType] = frozenset(StateType)
FROM_ANY: frozenset[StateType | None] = frozenset({None, *StateType})
FROM_FINAL: frozenset[StateType | None] = frozenset(FINAL)


class Step(Struct, Generic[RunT, FactsT], frozen=True):
    """A proposal on its way through the rules.

    ``run`` is the stored run, ``amended`` the run as the rules so far would leave it. An objection
    drops what earlier rules amended, unless it brings a run of its own.
    """

    run: RunT
    proposed: ProposedState
    facts: FactsT
    now: datetime
    amended: RunT
    effects: frozenset[Effect] = frozenset()

    @property
    def current(self) -> State:
        """The run's state, for rules that never meet a run without one."""
        assert self.run.state is not None
        return self.run.state

    def amend(
        self, *, proposed: ProposedState | None = None, run: RunT | None = None, effect: Effect | None = None
    ) -> Step[RunT, FactsT]:
        """Let the proposal pass, changed."""
        return replace(
            self,
            proposed=proposed or self.proposed,
            amended=run or self.amended,
            effects=self.effects | {effect} if effect else self.effects,
        )

    def rename(self, name: str) -> Step[RunT, FactsT]:
        """Let the proposal pass under another name."""
        return self.amend(proposed=structs.replace(self.proposed, name=name))

    def reject(
        self,
        reason: str,
        state: ProposedState | None = None,
        *,
        run: RunT | None = None,
        effects: frozenset[Effect] = frozenset(),
    ) -> Verdict[RunT]:
        """Refuse the proposal; ``state`` is entered in its place, or the current one stays."""
        return Verdict(
            status=SetStateStatus.REJECT,
            run=run or self.run,
            state=self._answering(state) if state else None,
            reason=reason,
            effects=effects,
        )

    def abort(self, reason: str, *, run: RunT | None = None) -> Verdict[RunT]:
        """Tell the proposer to give up: its process ends, nothing is entered."""
        return Verdict(status=SetStateStatus.ABORT, run=run or self.run, reason=reason)

    def wait(self, reason: str, delay_seconds: int) -> Verdict[RunT]:
        """Tell the proposer to ask again after the delay."""
        return Verdict(status=SetStateStatus.WAIT, run=self.run, reason=reason, delay_seconds=delay_seconds)

    def _answering(self, state: ProposedState) -> ProposedState:
        # A repeated request must find its transition made, whatever state came of it; else a FAILED that
        # became AwaitingRetry would be accepted the second time.
        transition = self.proposed.details.transition_id
        return structs.replace(state, details=structs.replace(state.details, transition_id=transition))


Outcome: TypeAlias = Step[RunT, FactsT] | Verdict[RunT]


class Rule(Struct, Generic[RunT, FactsT], frozen=True):
    """One rule and the transitions it looks at; ``apply`` lets the step pass or objects with a verdict.

    No rule makes another transition of a step that it lets pass.
    """

    name: str
    from_: frozenset[StateType | None]
    to: frozenset[StateType]
    apply: Callable[[Step[RunT, FactsT]], Step[RunT, FactsT] | Verdict[RunT]]


def judge(
    rules: Iterable[Rule[RunT, FactsT]], run: RunT, proposed: ProposedState, facts: FactsT, now: datetime
) -> Verdict[RunT]:
    """Ask the rules in order: the first objection is the verdict, silence accepts.

    A SCHEDULED proposal without a time is for now (api-contract §8.1).
    """
    step = Step(run=run, proposed=_timed(proposed, now), facts=facts, now=now, amended=run)
    initial, wanted = run.state.type if run.state else None, proposed.type
    for rule in rules:
        if initial in rule.from_ and wanted in rule.to:
            outcome = rule.apply(step)
            if isinstance(outcome, Verdict):
                return outcome
            step = outcome
    return Verdict(status=SetStateStatus.ACCEPT, run=step.amended, state=step.proposed, effects=step.effects)


def _timed(proposed: ProposedState, now: datetime) -> ProposedState:
    if proposed.type is not SCHEDULED or proposed.details.scheduled_time is not None:
        return proposed
    details = structs.replace(proposed.details, scheduled_time=now)
    return structs.replace(proposed, details=details)
