"""Rules, and pieces of rules, that flow runs and task runs have in common (api-contract §8.2, §8.4)."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from reeve.core.rules.rule import FactsT, Outcome, Step
from reeve.core.rules.verdict import RunT
from reeve.core.states import AWAITING_RETRY, ProposedState, StateDetails, StateType, propose


def duplicate(step: Step[RunT, FactsT]) -> Outcome[RunT, FactsT]:
    """A repeated request finds its transition made."""
    wanted = step.proposed.details.transition_id
    if wanted is None or wanted != step.current.details.transition_id:
        return step
    return step.reject("This run has already made this state transition.")


def prevent_pending(step: Step[RunT, FactsT]) -> Outcome[RunT, FactsT]:
    """A run that is under way, or cancelled, is not submitted once more."""
    return step.abort(f"This run is in a {step.current.type} state and cannot transition to a PENDING state.")


def copy_scheduled_time(step: Step[RunT, FactsT]) -> Outcome[RunT, FactsT]:
    """PENDING keeps the time for which the run was scheduled, unless it brings its own."""
    if step.proposed.details.scheduled_time is not None:
        return step
    details = msgspec.structs.replace(
        step.proposed.details, scheduled_time=step.current.details.scheduled_time
    )
    return step.amend(proposed=msgspec.structs.replace(step.proposed, details=details))


def wait_for_scheduled_time(step: Step[RunT, FactsT]) -> Outcome[RunT, FactsT]:
    """A run does not start before its time, by this server's clock, to the second."""
    due = step.current.details.scheduled_time
    delay = round((due - step.now).total_seconds()) if due else 0
    return step.wait("Scheduled time is in the future", delay) if delay > 0 else step


def forget_result(step: Step[RunT, FactsT]) -> Outcome[RunT, FactsT]:
    """A failed run forced to COMPLETED has no result to speak of, whatever its old reference says."""
    data = step.current.data
    if not (isinstance(data, dict) and data.get("type") == "reference"):
        return step
    unknown = {"type": "unknown", "value": None}
    return step.amend(proposed=msgspec.structs.replace(step.proposed, data=unknown))


def is_persisted(data: Any) -> bool:
    """Whether the data of a COMPLETED state is a result that can be read again."""
    return data is not None and not (isinstance(data, dict) and data.get("type") == "unpersisted")


def awaiting_retry(failure: ProposedState, at: datetime) -> ProposedState:
    """Return the state in which a failed run waits for its next try: message and data of the failure."""
    return propose(
        StateType.SCHEDULED,
        name=AWAITING_RETRY,
        message=failure.message,
        data=failure.data,
        details=StateDetails(scheduled_time=at),
    )
