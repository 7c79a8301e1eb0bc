"""``reeve server``: the process that keeps the state of every run."""

from __future__ import annotations

import click

from reeve.cli.frame import example
from reeve.cli.session import settings


@click.group(epilog=example("reeve server start --port 4300"))
def server() -> None:
    """Start a server, and change the key that its blocks are sealed with."""


@server.command(epilog=example("reeve server start --database-url postgresql://reeve@db/reeve"))
@click.option("--host", help="Address to listen on. Default: 127.0.0.1")
@click.option("--port", type=click.IntRange(1, 65535), help="Port to listen on. Default: 4200")
@click.option("--database-url", help="sqlite:////path or postgresql://… Default: SQLite in the home")
@click.option("--no-services", is_flag=True, help="Answer requests only; another server runs the loops.")
@click.option("--open", "open_door", is_flag=True, help="Serve clients without a key, on loopback only.")
@click.option("--allow-reset", is_flag=True, help="Allow clients to clear the database.")
def start(
    *,
    host: str | None,
    port: int | None,
    database_url: str | None,
    no_services: bool,
    open_door: bool,
    allow_reset: bool,
) -> None:
    """Serve the API until Ctrl-C."""
    chosen = settings(server_host=host, server_port=port, database_url=database_url)
    from reeve.server.app import serve

    serve(chosen, services=not no_services, open_door=open_door, allow_reset=allow_reset)


@server.command(epilog=example("reeve server rotate-key"))
@click.option("--database-url", help="sqlite:////path or postgresql://… Default: SQLite in the home")
def rotate_key(*, database_url: str | None) -> None:
    """Seal all blocks and secret parameters with a new key, while no server runs.

    The new key takes the place of the old ones in secrets.key of the home. Where REEVE_SECRETS_KEY holds the
    keys, add the new one at its end first, apart by a comma, and take the others away afterwards.
    """
    chosen = settings(database_url=database_url)
    from reeve.cli import show
    from reeve.server.app import rotate_key

    count = rotate_key(chosen)
    show.notice(f"Blocks and secret parameters: {count} sealed with the newest key.")
    if chosen.secrets_key is not None:
        show.notice("No others are needed: take them out of REEVE_SECRETS_KEY before a server starts.")
