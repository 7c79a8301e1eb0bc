"""Names: which are allowed, and those of runs that were given none."""

from __future__ import annotations

import re
from collections.abc import Callable

from reeve.errors import InvalidInputError

# Of flows, deployments, work pools, work queues and block types (api-contract §1).
FORBIDDEN = "/%&><"
_KEY = re.compile(r"[a-z0-9-]*")
VARIABLE = r"^[a-z0-9_]+\Z"


def check_name(kind: str, name: str) -> None:
    """Raise InvalidInputError when the name of that kind of thing has a forbidden character."""
    for character in name:
        if character in FORBIDDEN:
            raise InvalidInputError(
                f'{kind} name "{name}" contains "{character}"; leave out {" ".join(FORBIDDEN)}',
                field="name",
            )


def check_key(kind: str, key: str, field: str) -> None:
    """Raise InvalidInputError unless a key of that kind is lower-case letters, digits and dashes."""
    if not _KEY.fullmatch(key):
        raise InvalidInputError(
            f"{kind} must only contain lowercase letters, numbers, and dashes.", field=field
        )


def check_variable(name: str) -> None:
    """Raise InvalidInputError unless the name of a variable is lower-case letters, digits and underscores."""
    if not re.match(VARIABLE, name):
        raise InvalidInputError(
            f"Variable name {name!r} must only contain lowercase letters, numbers, and underscores.",
            field="name",
        )


def slug(dice: Callable[[int], int]) -> str:
    """Return two words like ``brisk-otter``; ``dice(n)`` returns a number from 0 to n - 1."""
    return f"{_ADJECTIVES[dice(len(_ADJECTIVES))]}-{_NOUNS[dice(len(_NOUNS))]}"


_ADJECTIVES = (  # noqa: SIM905 - as a list it would fill a hundred lines
    "agile amber ample apt azure balmy bold brave breezy bright brisk bronze calm candid careful cheerful"
    " clear clever cobalt cool copper cosy crimson crisp curious dapper daring deft eager early earnest easy"
    " fair fearless fine firm fleet fond frank fresh gentle glad golden graceful grand green hardy hazel"
    " hearty honest humble indigo ivory jade jolly keen kind lively loyal lucid lucky lunar mellow merry mild"
    " modest neat nimble noble olive patient placid plucky polite prompt proud quick quiet rapid ready"
    " robust rosy rustic scarlet serene sharp silent silver smart snug solid spry stable steady sturdy sunny"
    " swift tidy trusty vivid warm wise witty"
).split()

_NOUNS = (  # noqa: SIM905 - so would this
    "acorn alder anchor anvil apple arrow aspen badger barley basin beacon beaver birch bison boulder bramble"
    " breeze bridge brook canyon cedar cherry cliff clover comet condor coral crane creek cricket delta dune"
    " eagle ember falcon fern finch fjord flint forest fox garnet geyser glacier grove gull harbour hawk"
    " heath heron hill holly island ivy juniper kestrel lagoon lake lantern larch lark lemur linden lynx"
    " magpie maple marlin marsh meadow moose moss nutmeg oak orchard otter owl pebble pine plover prairie"
    " quail quartz raven reef ridge river robin rowan saddle salmon sparrow spruce stream summit swan thicket"
    " thistle tiger trout tulip valley walnut willow wren"
).split()
