"""Figures of a bench: printed as they come, each with its median and spread, then written as JSON and SVG."""

from __future__ import annotations

import json
import os
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from benches import chart


@dataclass(frozen=True)
class Figure:
    """What was measured, of whom, how often: median, lowest and highest.

    ``load``: the machine's average load of the minute before. ``most`` and ``least`` are goals.
    """

    what: str
    of: str
    unit: str
    median: float
    lowest: float
    highest: float
    count: int
    load: float
    most: float | None = None
    least: float | None = None

    @property
    def goal(self) -> float | None:
        """What the median is held against."""
        return self.least if self.most is None else self.most

    @property
    def is_met(self) -> bool:
        """Whether the median is within its goal; one without a goal is."""
        return (self.most is None or self.median <= self.most) and (
            self.least is None or self.median >= self.least
        )


@dataclass
class Figures:
    """The figures of a run of a bench, in the order in which they came."""

    bench: str
    all: list[Figure] = field(default_factory=list)

    def add(
        self,
        what: str,
        values: float | Sequence[float],
        unit: str,
        of: str = "reeve",
        *,
        most: float | None = None,
        least: float | None = None,
    ) -> None:
        """Keep and print a figure of one or more values."""
        print(line(self.keep(what, values, unit, of, most=most, least=least)), flush=True)

    def keep(
        self,
        what: str,
        values: float | Sequence[float],
        unit: str,
        of: str = "reeve",
        *,
        most: float | None = None,
        least: float | None = None,
    ) -> Figure:
        """Keep a figure of one or more values, to be written."""
        each = list(values) if isinstance(values, Sequence) else [values]
        figure = Figure(
            what, of, unit, median(each), min(each), max(each), len(each), os.getloadavg()[0], most, least
        )
        self.all.append(figure)
        return figure

    def write(self, options: Namespace) -> None:
        """Write what ``add_options`` asked for."""
        if options.json:
            about: dict[str, Any] = {"bench": self.bench, "cores": os.cpu_count()}
            figures = [asdict(figure) | {"is_met": figure.is_met} for figure in self.all]
            options.json.write_text(json.dumps(about | {"figures": figures}, indent=1))
        if options.svg:
            options.svg.write_text(chart.svg(f"scripts/bench {self.bench}", bars(self.all)))


def add_options(parser: ArgumentParser) -> None:
    """Add where figures go besides the terminal."""
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures to this file too")
    parser.add_argument("--svg", type=Path, metavar="FILE", help="draw all figures into this file too")


def line(figure: Figure) -> str:
    """Return a figure as a line of the table."""
    spread = f" ({_short(figure.lowest)}-{_short(figure.highest)})" if figure.count > 1 else ""
    shown = f"{_short(figure.median)}{spread} {figure.unit}"
    return f"{figure.what:<64} {figure.of:<20} {shown:<34} {_goal(figure):<26} load {figure.load:.1f}"


def bars(figures: Sequence[Figure]) -> list[chart.Group]:
    """Return a group of bars for each thing that was measured."""
    groups: dict[tuple[str, str], chart.Group] = {}
    for figure in figures:
        key = (figure.what, figure.unit)
        title = f"{figure.what}, {figure.unit}" if figure.unit else figure.what
        group = groups.setdefault(key, chart.Group(title))
        group.bars.append(
            chart.Bar(figure.of, figure.median, figure.lowest, figure.highest, figure.goal, figure.is_met)
        )
    return list(groups.values())


def _goal(figure: Figure) -> str:
    if figure.goal is None:
        return ""
    sign = "≤" if figure.most is not None else "≥"
    return f"goal {sign} {_short(figure.goal)}{'' if figure.is_met else ': NOT MET'}"


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
