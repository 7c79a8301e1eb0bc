"""The fence: an open attempt owns the states of its run and of its tasks (protocol §4)."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from reeve.core.attempts import AttemptKind
from reeve.core.states import StateType
from reeve.errors import AttemptSupersededError

HELD = frozenset({AttemptKind.LEASED, AttemptKind.SELF})
EXECUTING = frozenset({StateType.PENDING, StateType.RUNNING})


class Caller(StrEnum):
    """Who proposes, as its token says."""

    CLIENT = "client"  # no attempt token: an operator, the server itself, or a 2.20 client
    HOLDER = "holder"  # the token of the run's open attempt (of a subflow or a task: of its run's)
    SUPERSEDED = "superseded"  # the token of any other attempt


class FenceFacts(msgspec.Struct, frozen=True, kw_only=True):
    """Who holds the run, and who asks."""

    attempt: AttemptKind | None = None
    caller: Caller = Caller.CLIENT

    @property
    def held(self) -> bool:
        """Whether only the holder of the open attempt may report; a foreign attempt fences nothing."""
        return self.attempt in HELD


def check_superseded(facts: FenceFacts) -> None:
    """Raise AttemptSupersededError for the token of an attempt that is over."""
    if facts.caller is Caller.SUPERSEDED:
        raise AttemptSupersededError


def check_holder(facts: FenceFacts, proposed: StateType) -> None:
    """Raise AttemptSupersededError unless the caller may write this state.

    Whoever is no attempt may ask a held run to cancel, and nothing else.
    """
    check_superseded(facts)
    if facts.caller is Caller.CLIENT and facts.held and proposed is not StateType.CANCELLING:
        raise AttemptSupersededError(
            f"This run has an open attempt, and only its process may propose {proposed}. "
            "Propose CANCELLING to stop it, or use force to overrule it."
        )
