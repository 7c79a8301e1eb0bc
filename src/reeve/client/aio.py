"""The API for event loops: many calls at once, long polls among them."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Self, TypeVar

from reeve.client import calls
from reeve.client.calls import ServerTimeoutError, ServerUnreachableError
from reeve.client.connections import Connections
from reeve.client.retry import Effect, Outcome, Wait, converse
from reeve.client.sync import CONNECT_SECONDS
from reeve.errors import ReeveError
from reeve.wire.endpoints import Endpoint

Req = TypeVar("Req")
Res = TypeVar("Res")


class AsyncClient:
    """Calls of one server, from one event loop; the arguments are those of ``sync.Client``."""

    def __init__(
        self,
        url: str,
        key: str | None = None,
        *,
        timeout: float = 60.0,
        patience: float | None = 30.0,
        notice: Callable[[ReeveError, float], None] | None = None,
    ) -> None:
        self._address = calls.address(url)
        self._key = key
        self._timeout = timeout
        self._patience = patience
        self._notice = notice
        self._connections = Connections(self._address, CONNECT_SECONDS)

    @property
    def url(self) -> str:
        """The API's address."""
        return self._address.url

    async def call(
        self,
        endpoint: Endpoint[Req, Res],
        body: Req | None = None,
        *,
        query: Mapping[str, object] | None = None,
        timeout: float | None = None,  # noqa: ASYNC109  # for each byte, which asyncio.timeout cannot say
        **path: object,
    ) -> Res:
        """Ask for one operation and return its answer, as ``sync.Client.call`` does."""
        request = calls.prepare(
            endpoint,
            body,
            path=path,
            query=query,
            address=self._address,
            key=self._key,
            timeout=self._timeout if timeout is None else timeout,
        )
        script = converse(
            endpoint, request, patience=self._patience, clock=time.monotonic, dice=random.random
        )
        effect = next(script)
        try:
            while True:
                effect = script.send(await self._perform(effect))
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]  # StopIteration forgets the script's type

    async def close(self) -> None:
        """Close all connections."""
        self._connections.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _perform(self, effect: Effect) -> Outcome:
        if isinstance(effect, Wait):
            if self._notice is not None:
                self._notice(effect.error, effect.seconds)
            await asyncio.sleep(effect.seconds)
            return None
        try:
            return await self._connections.exchange(effect)
        except TimeoutError:
            return ServerTimeoutError.at(self.url, effect.timeout)
        except OSError as error:
            return ServerUnreachableError.at(self.url, error.strerror or error)
