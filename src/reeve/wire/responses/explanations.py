"""Answers that explain a run."""

from __future__ import annotations

from uuid import UUID

from msgspec import Struct, field

from reeve.core.explain import CauseKind


class Cause(Struct, kw_only=True):
    """What keeps a run from starting: a word for programs, a sentence for people."""

    kind: CauseKind
    sentence: str


class Explanation(Struct, kw_only=True):
    """Why a run is where it is: one sentence, each fact that bears on it, what to do.

    ``causes``: all that keeps the run from starting; none once it has started.
    """

    flow_run_id: UUID
    state: str
    summary: str
    causes: list[Cause] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    remedies: list[str] = field(default_factory=list)
