"""Crashes: why a process is gone that had not ended its run, and how often that is forgiven (protocol §1)."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class CrashReason(StrEnum):
    """The kinds of death that a crash budget tells apart."""

    SIGNAL = "signal"
    EXIT_CODE = "exit_code"  # 0 as well, when the run had not ended
    OUT_OF_MEMORY = "out_of_memory"
    AGENT_STOPPED = "agent_stopped"  # its agent, or the machine, was told to stop and did not wait for it
    AGENT_LOST = "agent_lost"  # its agent, shim or machine went away, or could not be heard


ALL_REASONS = frozenset(CrashReason)

# A run that was lost with its agent as often as this is taken for the cause, and not started again.
QUARANTINE_AFTER = 3


class CrashBudget(msgspec.Struct, frozen=True, kw_only=True):
    """How often a run is started again after its process died, apart from the retries of its code.

    ``delay`` is the seconds until then, ``on`` the reasons that count.
    """

    retries: int = 0
    delay: float = 0.0
    on: frozenset[CrashReason] = ALL_REASONS

    def allows(self, reason: CrashReason, crashes: int) -> bool:
        """Whether a run that has crashed so often before is started again."""
        return reason in self.on and crashes < self.retries


class Crash(msgspec.Struct, frozen=True, kw_only=True):
    """One crash. ``losses``: how often the run was lost with its agent, this time included.

    ``proven``: whether all of its processes are observed gone (protocol §8).
    """

    cause: str
    reason: CrashReason
    losses: int = 0
    proven: bool = True

    @property
    def is_quarantined(self) -> bool:
        """Whether the run has taken its agent down too often to be given to another."""
        return self.losses >= QUARANTINE_AFTER


def reason_of(exit_code: int | None, signal: int | None) -> CrashReason:
    """Return what an end says by itself; when nobody saw it, the agent or its machine was gone."""
    if signal is not None:
        return CrashReason.SIGNAL
    return CrashReason.AGENT_LOST if exit_code is None else CrashReason.EXIT_CODE
