"""Many matters in one transaction, each of which could be one of its own (protocol §10).

What is alike in them is read and written together. None fails for another's sake: a batch that cannot be
written is written one by one, and what is not as usual has a transaction of its own.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from reeve.errors import ReeveError, UnavailableError
from reeve.server.storage.dialects.base import IntegrityError

if TYPE_CHECKING:
    from reeve.server.storage.store import Store, Transaction

Matter = TypeVar("Matter")
Outcome = TypeVar("Outcome")

BATCH = 64  # matters in a transaction: whatever else is to be written waits for it

log = logging.getLogger("reeve.server")


async def each(
    store: Store,
    matters: Sequence[Matter],
    prepare: Callable[[Transaction, Sequence[Matter]], Awaitable[Callable[[Matter], bool]]],
    apply: Callable[[Transaction, Matter], Awaitable[Outcome]],
) -> list[Outcome | BaseException]:
    """Apply all of ``matters``, and return what came of each: a value, or what it has raised.

    ``prepare`` locks and reads what they need, in one order for all batches, and returns which of them go
    together: those that lock nothing more.
    """
    if len(matters) <= BATCH:
        return await _part(store, matters, prepare, apply)
    parts = [matters[place : place + BATCH] for place in range(0, len(matters), BATCH)]
    found = await asyncio.gather(*(_part(store, part, prepare, apply) for part in parts))
    return [outcome for outcomes in found for outcome in outcomes]


async def _part(
    store: Store,
    matters: Sequence[Matter],
    prepare: Callable[[Transaction, Sequence[Matter]], Awaitable[Callable[[Matter], bool]]],
    apply: Callable[[Transaction, Matter], Awaitable[Outcome]],
) -> list[Outcome | BaseException]:
    async def together(tx: Transaction) -> dict[int, Outcome | BaseException]:
        goes_together = await prepare(tx, matters)
        return {
            place: await _one(tx, matter, apply)
            for place, matter in enumerate(matters)
            if goes_together(matter)
        }

    done: dict[int, Outcome | BaseException] = {}
    if len(matters) > 1:
        try:
            done = await store.write(together)
        except UnavailableError as error:  # the database: all are told, and may ask again (protocol §10)
            return [error] * len(matters)
        except Exception as error:  # whatever it is, the one it belongs to says it
            log.debug("A batch of %d is written one by one", len(matters), exc_info=error)
    alone = [place for place in range(len(matters)) if place not in done]
    if not alone:
        return [*done.values()]
    outcomes = await asyncio.gather(
        *(store.write(partial(_applied, apply=apply, matter=matters[place])) for place in alone),
        return_exceptions=True,
    )
    done.update(zip(alone, outcomes, strict=True))
    return [done[place] for place in range(len(matters))]


async def _one(
    tx: Transaction, matter: Matter, apply: Callable[[Transaction, Matter], Awaitable[Outcome]]
) -> Outcome | BaseException:
    """Apply one of a batch: an objection to it is its outcome, unless it has come too late."""
    before = tx.written
    try:
        return await apply(tx, matter)
    except ReeveError as error:
        if tx.written != before or isinstance(error, IntegrityError | UnavailableError):
            raise
        return error


async def _applied(
    tx: Transaction, apply: Callable[[Transaction, Matter], Awaitable[Outcome]], matter: Matter
) -> Outcome:
    return await apply(tx, matter)
