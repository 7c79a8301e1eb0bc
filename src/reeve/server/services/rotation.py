"""The keys of what is sealed: all there at a start, and a new one for the old (decisions 6 and 25)."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

from reeve.core.sealing import sealing_keys
from reeve.server.services.sealing import resealed, resealed_answer
from reeve.server.services.secrets import unknown
from reeve.server.storage import blocks, inputs, sealed_parameters

if TYPE_CHECKING:
    from reeve.server.services.secrets import Keyring
    from reeve.server.storage.store import Store, Transaction

PAGE = 200  # documents, or rows, that one transaction of a rotation seals anew


async def check_keys(store: Store, keyring: Keyring) -> None:
    """Raise SecretsKeyError when documents, or parameters still needed, have keys that the ring lacks."""
    used = set(await store.read(blocks.key_ids))
    for parameters in await store.read(sealed_parameters.needed):
        used |= sealing_keys(parameters)
    for answer in await store.read(inputs.sealed_needed):
        used |= sealing_keys({"answer": answer})
    if missing := used - keyring.keys.keys():
        raise unknown(missing)


async def rotate(store: Store, keyring: Keyring) -> int:
    """Seal with the newest key what is not, and return how many documents and rows; old keys can go then.

    Raises SecretsKeyError for what no key opens. May be repeated after a failure.
    """
    count = 0
    while page := await store.write(partial(_seal_documents, keyring=keyring)):
        count += page
    of_tables = [partial(_seal_rows, table=table) for table in sealed_parameters.TABLES]
    sealers: list[Callable[..., Coroutine[Any, Any, _Page]]] = [*of_tables, _seal_answers]
    for seal in sealers:
        last: UUID | None = None
        while True:
            done = await store.write(partial(seal, keyring=keyring, after=last))
            count += done.sealed
            last = done.last
            if last is None:
                break
    return count


async def _seal_documents(tx: Transaction, keyring: Keyring) -> int:
    page = await blocks.lock_sealed_otherwise(tx, keyring.newest, PAGE)
    for document_id, sealed in page:
        await blocks.seal(tx, document_id, keyring.seal(document_id, keyring.unseal(document_id, sealed)))
    return len(page)


class _Page(NamedTuple):
    sealed: int
    last: UUID | None  # None: there was nothing left


async def _seal_rows(tx: Transaction, *, keyring: Keyring, table: str, after: UUID | None) -> _Page:
    found = await sealed_parameters.lock(tx, table, after, PAGE)
    count = 0
    for row in found:
        parameters = resealed(keyring, row.deployment_id, row.parameters)
        if parameters != row.parameters:
            await sealed_parameters.put(tx, table, row.id, parameters)
            count += 1
    return _Page(count, found[-1].id if found else None)


async def _seal_answers(tx: Transaction, *, keyring: Keyring, after: UUID | None) -> _Page:
    found = await inputs.lock_sealed(tx, after, PAGE)
    count = 0
    for row in found:
        value = resealed_answer(keyring, row.run_id, row.key, row.value)
        if value != row.value:
            await inputs.put_sealed(tx, row.id, value)
            count += 1
    return _Page(count, found[-1].id if found else None)
