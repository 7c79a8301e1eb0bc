"""The API for event loops, over httpx2: many calls at once, long polls among them."""

from __future__ import annotations

import asyncio
import random
import ssl
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Self, TypeVar

import httpx2

from reeve.client import calls
from reeve.client.calls import Reply, Request, ServerTimeoutError, ServerUnreachableError
from reeve.client.retry import Effect, Outcome, Terms, Wait, converse
from reeve.client.sync import CONNECT_SECONDS
from reeve.errors import ReeveError
from reeve.wire.endpoints import Endpoint

Req = TypeVar("Req")
Res = TypeVar("Res")

# Idle connections are given up before uvicorn's 5 s, so that a call seldom meets one being closed.
IDLE_SECONDS = 4.0


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
        where = calls.address(url)
        self._terms = Terms(where, key, timeout, patience)
        self._notice = notice
        self._http = httpx2.AsyncClient(
            verify=ssl.create_default_context() if where.scheme == "https" else False,
            # No bound: a call that waits for a connection behind long polls would look like a dead server.
            limits=httpx2.Limits(keepalive_expiry=IDLE_SECONDS),
            trust_env=False,  # as sync: the address given is the address asked
        )

    @property
    def url(self) -> str:
        """The API's address."""
        return self._terms.address.url

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
        script = converse(
            endpoint,
            body,
            path=path,
            query=query,
            timeout=timeout,
            terms=self._terms,
            clock=time.monotonic,
            dice=random.random,
        )
        effect = next(script)
        try:
            while True:
                effect = script.send(await self._perform(effect))
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]  # StopIteration forgets the script's type

    async def close(self) -> None:
        """Close all connections."""
        await self._http.aclose()

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
            return await self._exchange(effect)
        except httpx2.ConnectTimeout:
            return ServerUnreachableError.at(self.url, f"no connection within {CONNECT_SECONDS:g} s")
        except httpx2.TimeoutException:
            return ServerTimeoutError.at(self.url, effect.timeout)
        except httpx2.TransportError as error:
            return ServerUnreachableError.at(self.url, error)

    async def _exchange(self, request: Request) -> Reply:
        response = await self._http.request(
            request.method,
            self._terms.address.origin + request.target,
            content=request.body,
            headers=dict(request.headers),
            timeout=httpx2.Timeout(request.timeout, connect=CONNECT_SECONDS),
        )
        return Reply(
            response.status_code,
            response.content,
            response.headers.get("Retry-After"),
            response.headers.get("Location"),
        )
