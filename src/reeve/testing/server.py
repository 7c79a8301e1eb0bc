"""A reeve server on a thread of this process: the real application, on a database of its own, on loopback."""

from __future__ import annotations

import asyncio
import signal
import socket
import tempfile
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

from reeve import clock
from reeve.errors import ReeveError
from reeve.server.app import WebServer, loops, running
from reeve.server.loops.loop import Loop
from reeve.server.loops.notifier import Notifier
from reeve.server.loops.pruner import Pruner
from reeve.server.loops.reaper import Reaper
from reeve.server.loops.statuses import Statuses
from reeve.server.services.blocks import install_system_types
from reeve.server.services.context import Context
from reeve.server.storage.store import open_store
from reeve.settings import Settings

T = TypeVar("T")

STOP_SECONDS = 30.0  # far above what answers under way take
DATABASE = "reeve.db"


class Server:
    """Serves from ``start`` to ``stop``, for whoever shows the key of the home."""

    def __init__(self, settings: Settings, listener: socket.socket) -> None:
        self._settings = settings
        self._listener = listener
        self._thread = threading.Thread(target=self._run, name="reeve-server", daemon=True)
        self._ready: Future[None] = Future()
        self._duties: list[Loop] = []

    def start(self) -> None:
        """Return once it serves; raises what hindered it."""
        self._thread.start()
        self._ready.result()

    def stop(self) -> None:
        """Answer what waits, and end."""
        self._loop.call_soon_threadsafe(self._web.handle_exit, signal.SIGTERM, None)
        self._thread.join(STOP_SECONDS)
        if self._thread.is_alive():
            raise ReeveError(f"The server of this house has not stopped within {STOP_SECONDS:g} s.")

    def perform(self, question: Callable[[Context], Coroutine[Any, Any, T]]) -> T:
        """Ask one of the server's services, and return its answer."""
        return asyncio.run_coroutine_threadsafe(question(self._ctx), self._loop).result()

    def leap(self, by: timedelta) -> None:
        """Set the clock ahead, and have the server do what is due by then.

        To its leases the time in between is one in which it could hear nothing.
        """
        self.perform(lambda _: self._leap(by))

    async def _leap(self, by: timedelta) -> None:
        before = clock.now()
        clock.move(by)
        for duty in self._duties:
            if isinstance(duty, Reaper):
                duty.hearing.missed_between(before, clock.now())
        await self._do_duties()
        self._ctx.hub.wake_all()

    def do_duties(self) -> None:
        """Do what is due now: plan runs, call runs late, end pauses and what takes too long, and so on.

        Not what comes by itself and may take its time: notifications are sent, old runs deleted; agents,
        which have not had the time for a sign of life, are called silent.
        """
        self.perform(lambda _: self._do_duties())

    async def _do_duties(self) -> None:
        for duty in self._duties:
            if not isinstance(duty, Notifier | Pruner | Statuses):
                await duty.round()

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:
            if self._ready.done():
                raise
            self._ready.set_exception(error)

    async def _serve(self) -> None:
        await _lay_out(self._settings.home / DATABASE)
        async with running(self._settings, key=self._settings.api_key, services=False, allow_reset=False) as (
            api,
            ctx,
        ):
            self._ctx, self._loop = ctx, asyncio.get_running_loop()
            self._web, self._duties = WebServer(api, ctx), loops(ctx, self._settings)
            for duty in self._duties:
                duty.start()
            self._ready.set_result(None)
            try:
                await self._web.serve(sockets=[self._listener])
            finally:
                for duty in self._duties:
                    await duty.stop()


_template: list[bytes] = []


async def _lay_out(database: Path) -> None:
    """Make the file of a house's database: a copy of the first, since the tables take five times as long."""
    if not _template:
        with tempfile.TemporaryDirectory(prefix="reeve-") as directory:
            first = Path(directory) / DATABASE
            store = await open_store(f"sqlite:///{first}")
            try:
                await install_system_types(store)
            finally:
                await store.close()
            _template.append(await asyncio.to_thread(first.read_bytes))
    await asyncio.to_thread(database.write_bytes, _template[0])
