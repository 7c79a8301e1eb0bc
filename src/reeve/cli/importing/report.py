"""What is said of an import: a line for each object, the counts, and what to do next."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import click

from reeve.cli.importing.plan import SERVED_TYPES, Item, Kind, Plan
from reeve.cli.importing.writing import Entry, Outcome
from reeve.wire import codec

_COLOURS = {
    Outcome.CREATED: "green",
    Outcome.UPDATED: "green",
    Outcome.DIFFERS: "yellow",
    Outcome.REFUSED: "red",
}
_LONGEST = 60  # characters of a value that differs


def show_entries(entries: Sequence[Entry], *, dry_run: bool) -> None:
    """Print a line for each object, and below it what is to be known of it."""
    for entry in entries:
        word = click.style(f"{_verb(entry.outcome, dry_run):<17}", fg=_COLOURS.get(entry.outcome))
        click.echo(f"{word} {entry.kind} {entry.name}")
        for line in _below(entry):
            click.echo(f"    {line}")


def _verb(outcome: Outcome, dry_run: bool) -> str:
    would = dry_run and outcome in {Outcome.CREATED, Outcome.UPDATED}
    return f"would be {outcome}" if would else outcome.value


def _below(entry: Entry) -> Iterable[str]:
    for name, (old, new) in entry.changes.items():
        of_block = entry.kind is Kind.BLOCK and name != "schema"
        yield f"{name.replace('_', ' ')}" + ("" if of_block else f": here {_short(old)}, there {_short(new)}")
    if entry.why:
        yield entry.why
    if entry.remedy:
        yield f"→ {entry.remedy}"
    if entry.outcome is not Outcome.SAME:
        yield from (f"note: {note}" for note in entry.notes)


def show_counts(entries: Sequence[Entry], *, dry_run: bool) -> None:
    """Print how many objects there are of each outcome."""
    counts = Counter(entry.outcome for entry in entries)
    if not entries:
        click.echo("There is nothing to import.")
        return
    told = [f"{counts[outcome]} {_verb(outcome, dry_run)}" for outcome in Outcome if counts[outcome]]
    click.echo(f"\n{', '.join(told)}.")
    if set(counts) <= {Outcome.SAME, Outcome.REFUSED}:
        click.echo("Nothing to do: what can be carried over is here.")
    elif dry_run:
        click.echo("Nothing was changed: this was a dry run.")
    elif counts[Outcome.DIFFERS]:
        click.echo("What differs was left alone; --update writes what is there over what is here.")


def show_next(steps: Sequence[str]) -> None:
    """Print what to do next."""
    if steps:
        click.echo("\nNext:")
        for step in steps:
            click.echo(f"  {step}")


def next_steps(plan: Plan, entries: Sequence[Entry], *, chosen_command: bool, paused: bool) -> list[str]:
    """Return what the user has to do before the imported deployments run. Nothing, where none came over."""
    here = {
        entry.name for entry in entries if entry.kind is Kind.DEPLOYMENT and entry.outcome != Outcome.REFUSED
    }
    deployments = [one for one in _items(plan, Kind.DEPLOYMENT) if one.name in here]
    if not deployments:
        return []
    types = {one.name: {**one.given, **one.fields}.get("type") for one in _items(plan, Kind.POOL)}
    pools = {one.fields["pool"]: None for one in deployments if one.fields["pool"]}
    served = [name for name in pools if types.get(name) in SERVED_TYPES]
    steps = [f"Serve the pool: reeve agent start -p {name}" for name in served]
    if served and not chosen_command:
        steps.append(
            "Have Prefect where the agent is: pip install 'prefect<3', for flows that are written with it,"
        )
        steps.append("or import with --python PATH, the Python of an environment that has it.")
    if paused:
        steps.append("Then pause each deployment there, and here: reeve deployments resume FLOW/NAME")
    elif any(_is_scheduled(one) for one in deployments):
        steps.append("Schedules are active here as they are there: pause the deployments there, or both run.")
    return steps


def _items(plan: Plan, kind: Kind) -> list[Item]:
    return [one for one in plan if isinstance(one, Item) and one.kind is kind]


def _is_scheduled(item: Item) -> bool:
    return not item.fields.get("paused") and any(one["active"] for one in item.fields["schedules"])


def document(entries: Sequence[Entry], steps: Sequence[str], *, dry_run: bool) -> dict[str, Any]:
    """Return the report for programs."""
    counts = Counter(entry.outcome for entry in entries)
    return {
        "dry_run": dry_run,
        "counts": {outcome.value.replace(" ", "_"): counts[outcome] for outcome in Outcome},
        "objects": [
            {
                "kind": entry.kind.value.replace(" ", "_"),
                "name": entry.name,
                "outcome": entry.outcome.value.replace(" ", "_"),
                "changes": {name: {"here": old, "there": new} for name, (old, new) in entry.changes.items()},
                "why": entry.why,
                "remedy": entry.remedy,
                "notes": entry.notes,
            }
            for entry in entries
        ],
        "next": steps,
    }


def _short(value: Any) -> str:
    text = "none" if value is None else value if isinstance(value, str) else codec.encode(value).decode()
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
