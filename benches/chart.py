"""Bar charts as SVG: a group for each thing measured, a bar for each of whom, a line where the goal is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from html import escape

WIDTH, LEFT, RIGHT = 900, 230, 150  # pixels: all, names of bars, their figures
BAR, GAP, TITLE, HEAD = 16, 5, 26, 44
STYLE = (
    "text{font:12px sans-serif;fill:#222}.head{font-size:16px;font-weight:bold}.title{font-weight:bold}"
    ".met{fill:#4a7fb5}.missed{fill:#c8553d}.spread{stroke:#222}.goal{stroke:#222;stroke-dasharray:4 3}"
)


@dataclass(frozen=True)
class Bar:
    """One bar: its name, the median with the lowest and highest value, and the goal, if there is one."""

    name: str
    median: float
    lowest: float
    highest: float
    goal: float | None = None
    is_met: bool = True


@dataclass
class Group:
    """Bars that share a scale, under a title."""

    title: str
    bars: list[Bar] = field(default_factory=list)

    @property
    def height(self) -> int:
        """How many pixels the group takes."""
        return TITLE + len(self.bars) * (BAR + GAP) + GAP


def svg(head: str, groups: list[Group]) -> str:
    """Return the text of an SVG file with all groups, one below the other."""
    height = HEAD + sum(group.height for group in groups)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}">',
        f"<style>{STYLE}</style>",
        '<rect width="100%" height="100%" fill="#fff"/>',
        _text(10, 26, head, "head"),
    ]
    top = HEAD
    for group in groups:
        parts += _group(group, top)
        top += group.height
    return "\n".join([*parts, "</svg>", ""])


def _group(group: Group, top: int) -> Iterator[str]:
    yield _text(10, top + 15, group.title, "title")
    most = max(max(bar.highest, bar.goal or 0.0) for bar in group.bars) or 1.0
    scale = (WIDTH - LEFT - RIGHT) / most
    for number, bar in enumerate(group.bars):
        yield from _bar(bar, top + TITLE + number * (BAR + GAP), scale)


def _bar(bar: Bar, top: int, scale: float) -> Iterator[str]:
    middle = top + BAR / 2
    yield _text(LEFT - 8, top + 12, bar.name, "name", "end")
    kind = "met" if bar.is_met else "missed"
    yield f'<rect class="{kind}" x="{LEFT}" y="{top}" width="{bar.median * scale:.1f}" height="{BAR}"/>'
    if bar.lowest < bar.highest:
        yield _line("spread", LEFT + bar.lowest * scale, middle, LEFT + bar.highest * scale, middle)
    if bar.goal is not None:
        at = LEFT + bar.goal * scale
        yield _line("goal", at, top - GAP / 2, at, top + BAR + GAP / 2)
    shown = f"{bar.median:,.0f}" if bar.median >= 1000 else f"{bar.median:.3g}"
    goal = "" if bar.goal is None else f" (goal {bar.goal:g})"
    yield _text(WIDTH - RIGHT + 8, top + 12, shown + goal, "figure")


def _text(x: float, y: float, words: str, kind: str, anchor: str = "start") -> str:
    return f'<text class="{kind}" x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}">{escape(words)}</text>'


def _line(kind: str, x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'
