"""``reeve version``."""

from __future__ import annotations

import click

from reeve.cli import show
from reeve.cli.example import example
from reeve.client.calls import VERSION


@click.command(epilog=example("reeve version"))
@show.json_option
def version(*, as_json: bool) -> None:
    """Print the version of this reeve."""
    if as_json:
        show.document({"name": "reeve", "version": VERSION})
    else:
        click.echo(f"reeve {VERSION}")
