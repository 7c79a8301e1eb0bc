"""How answers look: JSON when asked for, tables on a terminal, plain lines anywhere else."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from uuid import UUID

import click
import msgspec

from reeve.core.tables import Table, as_text
from reeve.wire import codec, responses

# Colours of states, by name; where a word of a table is one of them, it gets its colour.
_COLOURS = {
    "Completed": "green",
    "Running": "blue",
    "Pending": "cyan",
    "Failed": "red",
    "Crashed": "red",
    "Late": "yellow",
    "AwaitingRetry": "yellow",
    "Unreachable": "yellow",
    "Cancelling": "magenta",
    "Cancelled": "magenta",
    "Paused": "yellow",
    "PAUSED": "yellow",
    "READY": "green",
    "ONLINE": "green",
    "SILENT": "yellow",
}

_RUN_LOGGERS = (".flow_runs", ".task_runs")


def document(value: object) -> None:
    """Print a value as JSON, for eyes and for programs."""
    click.echo(msgspec.json.format(codec.encode(value), indent=2).decode())


def line(value: object) -> None:
    """Print a value as one line of JSON, for programs that read as it comes."""
    click.echo(codec.encode(value).decode())


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, empty: str) -> None:
    """Print rows under their columns; ``empty`` is said when there are none."""
    cells = [["" if cell is None else str(cell) for cell in row] for row in rows]
    if not cells:
        click.echo(empty, err=not sys.stdout.isatty())  # a program that counts lines counts none
    elif sys.stdout.isatty():
        _rich_table(columns, cells)
    else:
        for row in as_text(Table([*columns], cells)):
            click.echo(row)


def facts(pairs: Iterable[tuple[str, object]]) -> None:
    """Print names with their values, one a line; what has no value is left out."""
    known = [(name, str(value)) for name, value in pairs if value not in (None, "", [], {})]
    width = max((len(name) for name, _ in known), default=0)
    for name, value in known:
        click.echo(f"{name:<{width}}  {value}")


def notice(sentence: str) -> None:
    """Say something beside the answer, where no pipe picks it up."""
    click.echo(sentence, err=True)


def news(followed: responses.Followed, whose: Callable[[responses.Log], str | None]) -> None:
    """Print the states a run entered and what it logged, in the order of time; ``whose`` names speakers."""
    lines = [(state.timestamp, _state(state)) for state in followed.states]
    lines += [(log.timestamp, _log(log, whose(log))) for log in followed.logs]
    for timestamp, said in sorted(lines, key=lambda line: codec.parse(line[0])):
        click.echo(f"{clock(timestamp)}  {said}")


def log(log: responses.Log, whose: str | None) -> None:
    """Print one line of a run's log, said by the run itself or by ``whose`` task or subflow."""
    click.echo(f"{clock(log.timestamp)}  {_log(log, whose)}")


def id_(value: UUID) -> str:
    """Say an id: enough of it to name it again on a terminal, all of it to programs."""
    return str(value)[:8] if sys.stdout.isatty() else str(value)


def when(timestamp: str | None) -> str:
    """Say an instant on the clock of whoever reads."""
    return "" if timestamp is None else f"{codec.parse(timestamp).astimezone():%Y-%m-%d %H:%M:%S}"


def clock(timestamp: str) -> str:
    """Say an instant of today, to the millisecond."""
    return f"{codec.parse(timestamp).astimezone():%H:%M:%S.%f}"[:-3]


def since(timestamp: str | None) -> str:
    """Say how long ago something was."""
    if timestamp is None:
        return "never"
    return f"{took((datetime.now(UTC) - codec.parse(timestamp)).total_seconds())} ago"


def between(earlier: str | None, later: str | None) -> str:
    """Say the time from one instant to another."""
    if earlier is None or later is None:
        return ""
    return took((codec.parse(later) - codec.parse(earlier)).total_seconds())


def took(seconds: float) -> str:
    """Say a length of time with the precision that matters: 12 ms, 3.4 s, 5m 20s, 2h 3m, 4d 1h."""
    if abs(seconds) < 1:
        return f"{seconds * 1000:.0f} ms"
    if abs(seconds) < 60:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    for size, name, rest_size, rest_name in (
        (86400, "d", 3600, "h"),
        (3600, "h", 60, "m"),
        (60, "m", 1, "s"),
    ):
        if whole >= size:
            return f"{whole // size}{name} {whole % size // rest_size}{rest_name}"
    return f"{whole} s"


def _state(state: responses.State) -> str:
    said = f": {state.message}" if state.message else ""
    return click.style(state.name, fg=_COLOURS.get(state.name), bold=True) + said


def _log(log: responses.Log, whose: str | None) -> str:
    # A logger of runs says by its name only what the speaker's own name says better.
    names = [whose, None if whose and log.name.endswith(_RUN_LOGGERS) else log.name]
    said_by = " ".join(name for name in names if name)
    return f"{logging.getLevelName(log.level):<7} {said_by}: {log.message}"


def _rich_table(columns: Sequence[str], cells: list[list[str]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    drawn = Table(*columns, box=None, pad_edge=False, header_style="bold")
    for column in drawn.columns[:-1]:
        column.no_wrap = True  # only the last one, which is prose, may take several lines
    for row in cells:
        drawn.add_row(*(Text(cell, style=_COLOURS.get(cell, "")) for cell in row))
    Console().print(drawn)
