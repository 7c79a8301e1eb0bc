"""``reeve artifacts``: what runs left for people to look at."""

from __future__ import annotations

from typing import NoReturn
from uuid import UUID

import click

from reeve.cli import find, show
from reeve.cli.frame import example, json_option
from reeve.cli.session import connect
from reeve.client.sync import Client
from reeve.core.tables import read_table
from reeve.errors import NotFoundError
from reeve.wire import endpoints, filters, queries
from reeve.wire.responses import Artifact


@click.group(epilog=example("reeve artifacts ls --run 0198c7d2", "reeve artifacts show quality-report"))
def artifacts() -> None:
    """List and show what runs left for people to look at."""


@artifacts.command(epilog=example("reeve artifacts ls --key quality-report"))
@click.option("--run", "run_id", metavar="ID", help="Only of this run.")
@click.option("--key", help="Only with this key.")
@click.option("--type", "type_", help="Only of this type: markdown, table, progress, image.")
@click.option(
    "--limit", type=click.IntRange(1, queries.MAX_LIMIT), default=20, show_default=True, metavar="N"
)
@json_option
def ls(*, run_id: str | None, key: str | None, type_: str | None, limit: int, as_json: bool) -> None:
    """List artifacts, the latest first; results of runs are among them with --type result."""
    with connect() as client:
        of = None if run_id is None else find.run(client, run_id).id
        found = client.call(endpoints.filter_artifacts, _query(of, key, type_, limit))
    if as_json:
        return show.document(found)
    rows = [
        (
            show.id_(one.id),
            one.key,
            one.type,
            show.id_(one.flow_run_id) if one.flow_run_id else None,
            show.when(one.updated),
            one.description,
        )
        for one in found
    ]
    return show.table(
        ("id", "key", "type", "run", "written", "description"),
        rows,
        empty="No such artifacts. A flow leaves one with: create_markdown_artifact(…)",
    )


@artifacts.command("show", epilog=example("reeve artifacts show quality-report"))
@click.argument("artifact", metavar="KEY|ID")
@json_option
def show_(*, artifact: str, as_json: bool) -> None:
    """Show an artifact: the latest of KEY, or the one with ID."""
    with connect() as client:
        found = _find(client, artifact)
    if as_json:
        return show.document(found)
    show.facts(
        [
            ("artifact", found.key),
            ("id", found.id),
            ("type", found.type),
            ("run", found.flow_run_id),
            ("task run", found.task_run_id),
            ("written", show.when(found.updated)),
            ("description", found.description),
        ]
    )
    click.echo()
    return _show_data(found)


def _query(run_id: UUID | None, key: str | None, type_: str | None, limit: int) -> queries.ArtifactQuery:
    return queries.ArtifactQuery(
        sort=queries.ArtifactSort.CREATED_DESC,
        limit=limit,
        artifacts=filters.ArtifactFilter(
            flow_run_id=filters.Ids(any_=[run_id]) if run_id else None,
            key=filters.ArtifactKey(any_=[key]) if key else None,
            type=filters.KeyText(any_=[type_]) if type_ else filters.KeyText(not_any_=["result"]),
        ),
    )


def _find(client: Client, text: str) -> Artifact:
    try:
        id_ = UUID(text)
    except ValueError:
        id_ = None
    try:
        if id_ is not None:
            return client.call(endpoints.read_artifact, id=id_)
        return client.call(endpoints.read_latest_artifact, key=text)
    except NotFoundError:
        _missing(text)


def _missing(text: str) -> NoReturn:
    message = f"There is no artifact {text!r}. See: reeve artifacts ls"
    raise NotFoundError(message) from None


def _show_data(artifact: Artifact) -> None:
    table = read_table(artifact.data) if artifact.type == "table" else None
    if table is not None:
        show.table(table.columns, table.rows, empty="The table has no rows.")
    elif isinstance(artifact.data, str):
        click.echo(artifact.data)
    elif artifact.type == "progress":
        click.echo(f"{artifact.data:g} %")
    else:
        show.document(artifact.data)
