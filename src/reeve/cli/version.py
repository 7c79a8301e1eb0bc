"""``reeve version``."""

from __future__ import annotations

import click

from reeve.cli.frame import example, json_option
from reeve.client.calls import VERSION


@click.command(epilog=example("reeve version"))
@json_option
def version(*, as_json: bool) -> None:
    """Print the version of this reeve."""
    if as_json:
        from reeve.cli import show

        show.document({"name": "reeve", "version": VERSION})
    else:
        click.echo(f"reeve {VERSION}")
