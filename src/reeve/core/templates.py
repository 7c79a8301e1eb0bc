"""Templates of 2.20's messages: whether one hangs together. None is rendered, so expressions are not read."""

from __future__ import annotations

import re

from msgspec import Struct

CLOSING = {"{{": "}}", "{%": "%}", "{#": "#}"}
# Tags that last until their own end.
BLOCKS = frozenset(
    {"autoescape", "block", "call", "filter", "for", "if", "macro", "raw", "set", "trans", "with"}
)
BRANCHES = {"else": {"if", "for"}, "elif": {"if"}}

_OPENING = re.compile(r"\{[{%#]")
_WORD = re.compile(r"[-+]?\s*(\w+)")
_END_OF_RAW = re.compile(r"\{%[-+]?\s*endraw\s*[-+]?%\}")


class Flaw(Struct, frozen=True):
    """What is wrong with a template, and in which line, counted from 1."""

    line: int
    message: str


def flaw(template: str) -> Flaw | None:
    """Return what is wrong with a template first: a mark that is not closed, a block without its end."""
    open_: list[tuple[str, int]] = []
    at = 0
    while found := _OPENING.search(template, at):
        line = template.count("\n", 0, found.start()) + 1
        closing = CLOSING[found[0]]
        end = template.find(closing, found.end())
        if end < 0:
            return Flaw(line, f"{found[0]!r} is not closed by {closing!r}.")
        inside, at = template[found.end() : end], end + len(closing)
        if found[0] == "{{" and not inside.strip(" -+\n\t"):
            return Flaw(line, "Expected an expression between '{{' and '}}'.")
        if found[0] != "{%":
            continue
        wrong = _tag(inside, open_, line)
        if wrong is not None:
            return Flaw(line, wrong)
        if open_ and open_[-1][0] == "raw":
            ended = _END_OF_RAW.search(template, at)
            at = len(template) if ended is None else ended.start()
    return Flaw(open_[-1][1], f"The block {open_[-1][0]!r} has no end.") if open_ else None


def _tag(inside: str, open_: list[tuple[str, int]], line: int) -> str | None:
    """Open or close a block; return what is wrong with that."""
    named = _WORD.match(inside)
    if named is None:
        return "Expected the name of a tag after '{%'."
    name = named[1]
    innermost = open_[-1][0] if open_ else None
    if name in BRANCHES and innermost not in BRANCHES[name]:
        return f"{name!r} stands outside of a block that has one."
    if name.startswith("end"):
        if innermost != name.removeprefix("end"):
            return f"{name!r} ends a block that is not open here."
        open_.pop()
    elif name in BLOCKS and not (name == "set" and "=" in inside):
        open_.append((name, line))
    return None
