"""``reeve config``: the settings in force."""

from __future__ import annotations

import os

import click

from reeve import settings
from reeve.cli import show
from reeve.cli.frame import example, json_option


@click.group(epilog=example("reeve config show"))
def config() -> None:
    """Show the settings and where each came from."""


@config.command("show", epilog=example("reeve config show --explain"))
@click.option("--explain", is_flag=True, help="Say what each setting is for.")
@json_option
def show_(*, explain: bool, as_json: bool) -> None:
    """List every setting, its value and its origin; keys and passwords masked.

    A setting NAME is taken from the environment (REEVE_NAME, in capitals), else
    from settings.toml in the home, else it has its default.
    """
    loaded = settings.gather(os.environ)
    values = [(name, settings.shown(name, getattr(loaded.settings, name))) for name in loaded.origins]
    if as_json:
        show.document({name: {"value": value, "origin": loaded.origins[name]} for name, value in values})
        return
    rows = []
    for name, value in values:
        origin = loaded.origins[name]
        row = [name, value, f"{origin.source}: {origin.place}" if origin.place else origin.source]
        rows.append([*row, settings.sentence(name)] if explain else row)
    show.table(("setting", "value", "origin", "for")[: 4 if explain else 3], rows, empty="")
