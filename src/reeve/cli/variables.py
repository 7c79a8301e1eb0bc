"""``reeve variables``: texts by name that all flows share."""

from __future__ import annotations

from typing import NoReturn

import click

from reeve.cli import show
from reeve.cli.frame import example, json_option
from reeve.cli.session import connect
from reeve.core.names import check_variable
from reeve.errors import ConflictError, NotFoundError
from reeve.wire import endpoints, filters, queries, requests


@click.group(epilog=example("reeve variables set region eu-west --tag prod"))
def variables() -> None:
    """Texts by name that all flows share."""


@variables.command(epilog=example("reeve variables ls --tag prod"))
@click.option("--tag", "tags", multiple=True, help="Only with this tag; repeatable.")
@json_option
def ls(*, tags: tuple[str, ...], as_json: bool) -> None:
    """List variables by name."""
    chosen = filters.VariableFilter(tags=filters.Tags(all_=list(tags))) if tags else None
    with connect() as client:
        found = client.call(endpoints.filter_variables, queries.VariableQuery(variables=chosen))
    if as_json:
        return show.document(found)
    rows = [(one.name, ", ".join(one.tags), show.since(one.updated), _short(one.value)) for one in found]
    return show.table(
        ("variable", "tags", "set", "value"),
        rows,
        empty="No variables yet. Make one with: reeve variables set NAME VALUE",
    )


@variables.command(epilog=example("reeve variables get region"))
@click.argument("name")
@json_option
def get(*, name: str, as_json: bool) -> None:
    """Print the value of a variable."""
    with connect() as client:
        try:
            found = client.call(endpoints.read_variable, name=name)
        except NotFoundError:
            _missing(name)
    if as_json:
        return show.document(found)
    return click.echo(found.value)


@variables.command("set", epilog=example("reeve variables set region eu-west --overwrite"))
@click.argument("name")
@click.argument("value")
@click.option("--tag", "tags", multiple=True, help="Tag of the variable; repeatable.")
@click.option("--overwrite", is_flag=True, help="Replace the value and the tags it has.")
def set_(*, name: str, value: str, tags: tuple[str, ...], overwrite: bool) -> None:
    """Give a variable a value."""
    check_variable(name)
    with connect() as client:
        try:
            body = requests.VariableCreate(name=name, value=value, tags=list(tags))
            client.call(endpoints.create_variable, body)
        except ConflictError:
            if not overwrite:
                message = f"The variable {name!r} has a value. Replace it with --overwrite"
                raise ConflictError(message) from None
            change = requests.VariableUpdate(value=value, tags=list(tags))
            client.call(endpoints.update_variable, change, name=name)
    click.echo(f"The variable {name!r} is set.")


@variables.command(epilog=example("reeve variables rm region"))
@click.argument("name")
def rm(*, name: str) -> None:
    """Delete a variable."""
    with connect() as client:
        try:
            client.call(endpoints.delete_variable, name=name)
        except NotFoundError:
            _missing(name)
    click.echo(f"The variable {name!r} is deleted.")


def _missing(name: str) -> NoReturn:
    message = f"There is no variable {name!r}. See: reeve variables ls"
    raise NotFoundError(message) from None


def _short(value: str) -> str:
    line = " ".join(value.split())
    return line if len(line) <= 60 else f"{line[:59]}…"
