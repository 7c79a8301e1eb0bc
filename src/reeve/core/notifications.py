"""Notifications: which states of which runs somebody wants to hear of, in what words, how often to try."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from string import Formatter
from uuid import UUID

import msgspec

from reeve.errors import InvalidInputError

# What a message may say, in 2.20's names (api-contract §4).
FIELDS = (
    "flow_run_notification_policy_id",
    "flow_id",
    "flow_name",
    "flow_run_url",
    "flow_run_id",
    "flow_run_name",
    "flow_run_parameters",
    "flow_run_state_type",
    "flow_run_state_name",
    "flow_run_state_timestamp",
    "flow_run_state_message",
)
TEMPLATE = """\
{flow_name}/{flow_run_name} is {flow_run_state_name} since {flow_run_state_timestamp}.
{flow_run_state_message}
{flow_run_url}
"""
# After each failure in turn; a receiver that is down for longer hears of newer states only.
DELAYS = tuple(timedelta(seconds=seconds) for seconds in (10, 30, 90, 270, 810))


class Policy(msgspec.Struct, frozen=True):
    """Whom to tell of what: no names mean all states, no tags mean all runs."""

    id: UUID
    state_names: Sequence[str]
    tags: Sequence[str]

    def wants(self, state_name: str, tags: Sequence[str]) -> bool:
        """Say whether a state of a run with these tags is to be told; one tag in common is enough."""
        named = not self.state_names or state_name in self.state_names
        return named and (not self.tags or not set(self.tags).isdisjoint(tags))


def check_template(template: str) -> None:
    """Raise InvalidInputError for a template that names what no message has.

    Only plain names are taken: attributes and indices of what is inserted are nobody's business.
    """
    try:
        named = [name for _, name, _, _ in Formatter().parse(template) if name is not None]
    except ValueError as error:
        raise InvalidInputError(f"The template cannot be read: {error}.", field="message_template") from None
    for name in named:
        if name not in FIELDS:
            raise InvalidInputError(
                f"Invalid template variable provided: {name!r}. There are: {', '.join(FIELDS)}.",
                field="message_template",
            )


def rendered(template: str | None, values: Mapping[str, str]) -> str:
    """Return the message; what stands in the template besides plain names is left out."""
    parts = Formatter().parse(TEMPLATE if template is None else template)
    return "".join(text + ("" if name is None else values.get(name, "")) for text, name, _, _ in parts)


def next_try(tries: int) -> timedelta | None:
    """Return how long to wait after so many failures; None to give up."""
    return DELAYS[tries - 1] if tries <= len(DELAYS) else None
