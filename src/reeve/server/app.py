"""The server: store, services, loops and doors put together, and its life from bind to drain."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from types import FrameType
from typing import Any

import uvicorn

from reeve import eventloop, logs
from reeve.core.attempts import LeaseTerms
from reeve.errors import InvalidInputError, ReeveError
from reeve.server.http.api import Api
from reeve.server.http.auth import LOOPBACK, Doors
from reeve.server.loops.cancellations import CancellationCleaner
from reeve.server.loops.late import LateMarker
from reeve.server.loops.loop import Loop
from reeve.server.loops.notifier import Notifier
from reeve.server.loops.pauses import PauseExpirer
from reeve.server.loops.pruner import Pruner
from reeve.server.loops.reaper import Reaper
from reeve.server.loops.schedule_policies import SchedulePolicies
from reeve.server.loops.scheduler import Scheduler
from reeve.server.loops.statuses import Statuses
from reeve.server.loops.time_limits import TimeLimits
from reeve.server.services.blocks import install_system_types
from reeve.server.services.context import Context
from reeve.server.services.hub import Hub
from reeve.server.services.rotation import check_keys, rotate
from reeve.server.services.secrets import Keyring, SecretsKeyError
from reeve.server.services.tokens import installation_secret
from reeve.server.storage.store import Store, open_store
from reeve.settings import (
    Settings,
    add_secrets_key,
    drop_old_secrets_keys,
    make_home_key,
    make_secrets_key,
    masked_url,
)

log = logging.getLogger("reeve.server")

BACKLOG = 2048
# A client that is told nothing keeps its connection; answers under way get this long when the server stops.
FAREWELL_SECONDS = 5
KEEP_ALIVE_SECONDS = 75  # longer than a poll is held, so that agents keep their one connection
FOREVER = timedelta(days=365_000)


def serve(settings: Settings, *, services: bool, open_door: bool, allow_reset: bool) -> None:
    """Serve until SIGINT or SIGTERM; ``services`` False leaves out the loops.

    Raises ReeveError when the port is taken, the database is in use or cannot be reached, or the door
    would be open beyond this machine.
    """
    logs.set_up(settings.log_level)
    if open_door and settings.server_host not in LOOPBACK:
        raise InvalidInputError(
            f"--open serves clients without a key, so only on this machine; {settings.server_host} is beyond "
            "it. Leave out --open, and give clients the key of the home as REEVE_API_KEY.",
            field="open",
        )
    listener = bound(settings.server_host, settings.server_port)
    with contextlib.closing(listener):
        eventloop.run(
            _serve(settings, listener, services=services, open_door=open_door, allow_reset=allow_reset)
        )


def bound(host: str, port: int) -> socket.socket:
    """Return a socket that listens; raises ReeveError when the port is taken or the address is not ours."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With the protocol named, asyncio sets TCP_NODELAY; without, every answer waits 40 ms for an ACK.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise ReeveError(
            f"Cannot listen on {host} port {port}: {error.strerror}. "
            "Is another server running there? Choose another port with --port."
        ) from None
    return listener


async def _serve(
    settings: Settings, listener: socket.socket, *, services: bool, open_door: bool, allow_reset: bool
) -> None:
    key = None if open_door else settings.api_key or make_home_key(settings.home)
    async with running(settings, key=key, services=services, allow_reset=allow_reset) as (api, ctx):
        host, port = listener.getsockname()[:2]
        log.info("serving http://%s:%s/api from %s", host, port, masked_url(settings.database_url))
        await WebServer(api, ctx).serve(sockets=[listener])
    log.info("stopped")


@contextlib.asynccontextmanager
async def running(
    settings: Settings, *, key: str | None, services: bool, allow_reset: bool
) -> AsyncIterator[tuple[Api, Context]]:
    """Open the store, start the loops, and give the application; all of it ends with the context."""
    store = await open_store(settings.database_url)
    started: list[Loop] = []
    try:
        keyring = await _keyring(settings, store)
        await install_system_types(store)
        hub = Hub()
        store.listen(hub.wake)
        ctx = Context(
            store=store,
            hub=hub,
            secret=await installation_secret(store),
            keyring=keyring,
            terms=lease_terms(settings),
            allow_reset=allow_reset,
            settings=shown_settings(settings),
        )
        names = [settings.server_host, *_names(settings.allowed_hosts)]
        doors = Doors.of(key=key, secret=ctx.secret, hosts=names)
        started = loops(ctx, settings) if services else []
        for loop in started:
            loop.start()
        yield Api(ctx, doors), ctx
    finally:
        for loop in started:
            await loop.stop()
        await store.close()


def rotate_key(settings: Settings) -> int:
    """Seal all blocks of the database with a new key, forget the old ones; return how many were sealed.

    The new key is made in the home, unless the settings hold the keys: then it is their last. Raises
    ConflictError while a server runs, which would write with the old key, and SecretsKeyError when a key is
    missing. May be repeated after a failure: every key is kept until all is sealed anew.
    """
    return asyncio.run(_rotate_key(settings))


async def _rotate_key(settings: Settings) -> int:
    store = await open_store(settings.database_url, alone=True)
    try:
        keyring = await _keyring(settings, store)
        if settings.secrets_key is not None:
            if len(keyring.keys) == 1:
                raise SecretsKeyError(
                    "REEVE_SECRETS_KEY has one key. Add a new one at its end, apart by a comma."
                )
            return await rotate(store, keyring)
        count = await rotate(store, Keyring.read(add_secrets_key(settings.home)))
        drop_old_secrets_keys(settings.home)
        return count
    finally:
        await store.close()


async def _keyring(settings: Settings, store: Store) -> Keyring:
    """Return the keys of the blocks; SecretsKeyError unless they open all that is sealed."""
    keyring = Keyring.read(settings.secrets_key or make_secrets_key(settings.home))
    await check_keys(store, keyring)
    return keyring


def shown_settings(settings: Settings) -> dict[str, Any]:
    """Return what clients may be told of the settings, by 2.20's names, and hidden where it hides them."""
    return {
        "PREFECT_API_DATABASE_CONNECTION_URL": "********",
        "PREFECT_API_URL": settings.api_url,
        "PREFECT_HOME": str(settings.home),
        "PREFECT_LOGGING_SERVER_LEVEL": settings.log_level,
        "PREFECT_SERVER_API_HOST": settings.server_host,
        "PREFECT_SERVER_API_PORT": settings.server_port,
    }


def lease_terms(settings: Settings) -> LeaseTerms:
    """Return the figures of leases that the settings say."""
    return LeaseTerms(
        lease=settings.lease_seconds,
        renew_every=settings.renew_seconds,
        margin=settings.lease_margin_seconds,
        grace=settings.lease_grace_seconds,
        lost_after=settings.lost_after_seconds,
        launch_tries=settings.launch_tries,
    )


def loops(ctx: Context, settings: Settings) -> list[Loop]:
    """Return the duties with their intervals in seconds (api-contract §10; the rest are reeve's own)."""
    return [
        Scheduler(ctx, 60),
        LateMarker(ctx, 5),
        PauseExpirer(ctx, 5),
        CancellationCleaner(ctx, 20),
        Reaper(ctx, min(1.0, settings.lease_seconds / 4)),
        TimeLimits(ctx, 1),
        SchedulePolicies(ctx, 1),
        Statuses(ctx, 10),
        Notifier(
            ctx,
            4,
            page=settings.api_url.rstrip("/").removesuffix("/api"),
            private=settings.notify_private_addresses,
        ),
        Pruner(ctx, 600, _days(settings.retention_runs_days), _days(settings.retention_logs_days)),
    ]


def _names(listed: str) -> list[str]:
    return [name.strip() for name in listed.split(",") if name.strip()]


def _days(days: float) -> timedelta:
    return timedelta(days=days) if days else FOREVER


class WebServer(uvicorn.Server):
    """uvicorn, which does not wait for polls that are held open: they are answered when it stops."""

    def __init__(self, api: Api, ctx: Context) -> None:
        config = uvicorn.Config(
            api,
            http="httptools",
            ws="websockets-sansio",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,  # no address of a client is looked at
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=FAREWELL_SECONDS,
        )
        super().__init__(config)
        self._ctx = ctx

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """End quietly on SIGINT and SIGTERM; raised again they would look like a crash.

        Signals are those of a process; beside its main thread, a server is told in another way to stop.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self.handle_exit, number, None)
        try:
            yield
        finally:
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(number)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Answer all that wait, then stop."""
        self._ctx.stopping.set()
        self._ctx.hub.wake_all()
        super().handle_exit(sig, frame)
