"""``reeve import``: what another system holds, made here, with a report."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import click

from reeve.cli import show
from reeve.cli.frame import example, help_all, json_option, rare
from reeve.cli.session import PATIENCE_SECONDS, connect
from reeve.client.sync import Client
from reeve.errors import InvalidInputError
from reeve.wire import endpoints, queries

if TYPE_CHECKING:
    from reeve.cli.importing.plan import Choices, Plan

NOT_ALL = 1  # the exit code when something could not be carried over


@click.group("import", epilog=example("reeve import prefect --from http://prefect:4200/api --dry-run"))
def import_() -> None:
    """Bring over what another system holds."""


@import_.command(
    epilog=example(
        "reeve import prefect --from http://prefect:4200/api --dry-run",
        "reeve import prefect prefect.yaml --python .venv/bin/python",
    )
)
@click.argument("files", metavar="[FILE.yaml]...", nargs=-1, type=click.Path(path_type=Path))
@click.option("--from", "source", metavar="URL", help="A server of Prefect 2.20: its API's address.")
@click.option(
    "--api-key",
    envvar="PREFECT_API_KEY",
    show_envvar=True,
    metavar="KEY",
    help="Key of that server.",
)
@click.option("--dry-run", is_flag=True, help="Say what would be made, and change nothing.")
@click.option("--update", is_flag=True, help="Write over what is here and differs.")
@click.option("--paused", is_flag=True, help="Have no imported deployment run by schedule yet.")
@rare("--python", metavar="PATH", help="Python with Prefect, in which the flows are to run.")
@json_option
@help_all
def prefect(
    *,
    files: tuple[Path, ...],
    source: str | None,
    api_key: str | None,
    dry_run: bool,
    update: bool,
    paused: bool,
    python: str | None,
    as_json: bool,
) -> None:
    """Bring over what a server of Prefect 2.20 holds, or prefect.yaml says.

    Exits with 1 when something could not be carried over.
    """
    from reeve.cli.importing import report
    from reeve.cli.importing.kinds import Here
    from reeve.cli.importing.plan import Choices
    from reeve.cli.importing.writing import Outcome, carry_out

    choices = Choices(paused=paused, command=_command(python))
    plan = _plan(files, source, api_key, choices)
    with connect() as client:
        client.call(
            endpoints.filter_work_pools, queries.WorkPoolQuery(limit=1)
        )  # is it there, and lets us in?
        entries = carry_out(Here(client), plan, update=update, dry_run=dry_run)
    steps = report.next_steps(plan, entries, chosen_command=python is not None, paused=paused)
    if as_json:
        show.document(report.document(entries, steps, dry_run=dry_run))
    else:
        report.show_entries(entries, dry_run=dry_run)
        report.show_counts(entries, dry_run=dry_run)
        report.show_next(steps)
    if any(entry.outcome is Outcome.REFUSED for entry in entries):
        sys.exit(NOT_ALL)


def _plan(files: tuple[Path, ...], source: str | None, api_key: str | None, choices: Choices) -> Plan:
    if bool(files) == (source is not None):
        raise InvalidInputError(
            "Say what to import: --from URL, the API of a Prefect 2.20 server, or files, like prefect.yaml",
            field="from",
        )
    if source is None:
        return [one for file in files for one in _plan_of_file(file, choices)]
    from reeve.cli.importing.of_server import plan_of_server
    from reeve.cli.importing.reading import read_server

    with Client(_api(source), api_key, patience=PATIENCE_SECONDS) as client:
        return plan_of_server(read_server(client), choices)


def _plan_of_file(file: Path, choices: Choices) -> Plan:
    from reeve.cli.importing.flow_source import flow_source
    from reeve.cli.importing.of_files import Around, plan_of_file

    around = Around(file=file.absolute(), environ=os.environ, look=flow_source, choices=choices)
    return plan_of_file(_yaml(file), around)


def _yaml(file: Path) -> Any:
    import yaml

    try:
        return yaml.safe_load(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise InvalidInputError(f"{file} cannot be read: {error.strerror}", field="file") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        line = " ".join(str(error).split())
        raise InvalidInputError(f"{file} is no YAML: {line}", field="file") from None


def _api(source: str) -> str:
    """Return the API's address; that of a server alone means its ``/api``."""
    return f"{source.rstrip('/')}/api" if urlsplit(source).path in {"", "/"} else source


def _command(python: str | None) -> str | None:
    """Return the command by which Prefect's engine runs a flow in an environment of its own."""
    if python is None:
        return None
    from shlex import quote

    path = Path(python).expanduser().absolute()  # not resolved: an environment's Python is a link out of it
    if not path.is_file():
        raise InvalidInputError(f"--python: there is no {path}", field="python")
    return f"{quote(str(path))} -m prefect.engine"
