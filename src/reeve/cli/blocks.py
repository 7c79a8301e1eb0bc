"""``reeve blocks``: documents that flows keep on the server, their secrets hidden."""

from __future__ import annotations

from typing import NoReturn
from uuid import UUID

import click

from reeve.cli import show
from reeve.cli.frame import example, json_option
from reeve.cli.session import connect
from reeve.client.sync import Client
from reeve.errors import InvalidInputError, NotFoundError
from reeve.wire import endpoints, filters, queries
from reeve.wire.responses import BlockDocument

_block = click.argument("block", metavar="TYPE/NAME|ID")


@click.group(epilog=example("reeve blocks ls --type warehouse", "reeve blocks show warehouse/main"))
def blocks() -> None:
    """Documents that flows keep: list, show and delete them."""


@blocks.command(epilog=example("reeve blocks ls --type warehouse"))
@click.option("--type", "type_", metavar="SLUG", help="Only of this type.")
@json_option
def ls(*, type_: str | None, as_json: bool) -> None:
    """List blocks by type and name."""
    chosen = filters.BlockTypeFilter(slug=filters.AnyText(any_=[type_])) if type_ else None
    query = queries.BlockDocumentQuery(
        block_types=chosen, sort=queries.BlockDocumentSort.BLOCK_TYPE_AND_NAME_ASC
    )
    with connect() as client:
        found = client.call(endpoints.filter_block_documents, query)
    if as_json:
        return show.document(found)
    rows = [(f"{_slug(one)}/{one.name}", show.id_(one.id), show.since(one.updated)) for one in found]
    empty = "No such blocks. A flow saves one with: BLOCK(…).save(NAME)"
    return show.table(("block", "id", "saved"), rows, empty=empty)


@blocks.command("show", epilog=example("reeve blocks show warehouse/main"))
@_block
@json_option
def show_(*, block: str, as_json: bool) -> None:
    """Show a block; what is secret stays hidden."""
    with connect() as client:
        found = _find(client, block)
    if as_json:
        return show.document(found)
    show.facts(
        [
            ("block", f"{_slug(found)}/{found.name}"),
            ("id", found.id),
            ("type", found.block_type_name),
            ("saved", show.when(found.updated)),
        ]
    )
    click.echo()
    return show.facts(sorted(found.data.items()))


@blocks.command(epilog=example("reeve blocks rm warehouse/main"))
@_block
def rm(*, block: str) -> None:
    """Delete a block."""
    with connect() as client:
        found = _find(client, block)
        client.call(endpoints.delete_block_document, id=found.id)
    click.echo(f"The block {_slug(found)}/{found.name} is deleted.")


def _find(client: Client, text: str) -> BlockDocument:
    slug, slash, name = text.partition("/")
    try:
        if slash:
            return client.call(endpoints.read_block_document_by_name, slug=slug, block_document_name=name)
        return client.call(endpoints.read_block_document, id=UUID(text))
    except ValueError:
        message = f"{text!r} is no block: name it as TYPE/NAME. See: reeve blocks ls"
        raise InvalidInputError(message, field="block") from None
    except NotFoundError:
        _missing(text)


def _missing(text: str) -> NoReturn:
    raise NotFoundError(f"There is no block {text!r}. See: reeve blocks ls") from None


def _slug(block: BlockDocument) -> str:
    return block.block_type.slug if block.block_type else "?"
