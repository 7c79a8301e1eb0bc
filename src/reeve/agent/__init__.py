"""The agent: what claims due runs, launches each, watches it and reports it. Its public word is ``Agent``.

Loaded on first use: the command line reads an agent's defaults without loading the agent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from reeve.agent.agent import Agent

__all__ = ["Agent"]


def __getattr__(name: str) -> Any:
    if name != "Agent":
        raise AttributeError(f"module 'reeve.agent' has no attribute '{name}'")
    from reeve.agent.agent import Agent

    return Agent
