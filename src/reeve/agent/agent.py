"""The agent as programs and the command line use it: what it serves, its start and its end (A1-A13)."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Sequence
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self
from uuid import UUID

from reeve import eventloop, logs
from reeve.agent import tasks
from reeve.agent.conductor import Conductor
from reeve.agent.identity import Identity, occupy
from reeve.agent.journal import Journal
from reeve.agent.link import OwnLink
from reeve.agent.meeting import MeetingLink
from reeve.agent.notes import Notes
from reeve.agent.polling import PollingLink
from reeve.agent.relay import Relay
from reeve.agent.slots import DEFAULT_LIMIT
from reeve.agent.spool import Bounds
from reeve.agent.status import Door
from reeve.client.calls import VERSION
from reeve.drivers import registry
from reeve.drivers.base import Driver
from reeve.errors import InvalidInputError
from reeve.settings import Settings, home_key, load
from reeve.wire.requests import Register
from reeve.wire.responses import Infrastructure

DRIVER = "process"  # the one for pools whose runs an agent launches


class Agent:
    """Claims due runs of work queues, launches each, watches it, and reports it to the server.

    ``async with Agent(work_queues=["fast"]): ...`` serves until the block ends. The arguments are those of
    the 2.20 agent (A1):

    ``work_queues``: names; without them and without a prefix, all queues of the pool are served.
    ``work_queue_prefix``: one or several; queues whose names begin so.
    ``work_pool_name``: default-agent-pool unless given.
    ``prefetch_seconds``: how long before their time runs are launched.
    ``default_infrastructure``: for runs that name no infrastructure block themselves; or instead of it
    ``default_infrastructure_document_id``, the id of a block that the server keeps.
    ``limit``: runs at once; slots.DEFAULT_LIMIT unless given.

    reeve's own: ``name`` (the host's unless given), ``run_once`` (claim what is due, see it to its end, be
    over) and ``settings`` (read from the environment at each start unless given).

    Raises ValueError when both defaults are given. Nothing else is looked at before the start (A7).
    """

    def __init__(  # noqa: PLR0913  # the arguments of the 2.20 agent (A1)
        self,
        work_queues: Sequence[str] | None = None,
        work_queue_prefix: str | Sequence[str] | None = None,
        work_pool_name: str | None = None,
        prefetch_seconds: float | None = None,
        default_infrastructure: Infrastructure | None = None,
        default_infrastructure_document_id: UUID | None = None,
        limit: int | None = None,
        *,
        name: str | None = None,
        run_once: bool = False,
        settings: Settings | None = None,
    ) -> None:
        if default_infrastructure is not None and default_infrastructure_document_id is not None:
            message = "Provide only one of 'default_infrastructure' and 'default_infrastructure_document_id'."
            raise ValueError(message)
        self.work_queues = set(work_queues or ())
        self.work_queue_prefix = (
            [work_queue_prefix] if isinstance(work_queue_prefix, str) else [*(work_queue_prefix or ())]
        )
        self.work_pool_name = work_pool_name
        self.prefetch_seconds = prefetch_seconds
        self.default_infrastructure = default_infrastructure
        self.default_infrastructure_document_id = default_infrastructure_document_id
        self.limit = limit
        self.name = name
        self.run_once = run_once
        self.logger = logging.getLogger("reeve.agent")
        self._settings = settings
        self._resources = AsyncExitStack()
        self._conductor: Conductor | None = None
        self._life: asyncio.Task[None] | None = None

    @property
    def started(self) -> bool:
        """Whether it is between its start and its shutdown."""
        return self._life is not None

    async def start(self) -> None:
        """Take its home, adopt what an earlier life left running, and serve from now on.

        The server need not be there yet. Raises ReeveError with a sentence for the user, for example when
        another agent of this home has the name; InvalidInputError for a limit or a prefetch below 0.
        """
        if self.started:
            raise RuntimeError("Agent is started already.")
        self._check()
        chosen = self._settings or load(os.environ)
        async with AsyncExitStack() as resources:
            identity = resources.enter_context(occupy(chosen.home, self.name))
            journal = Journal.open(identity.directory / "journal.db")
            resources.push_async_callback(journal.close)
            own = OwnLink(chosen.api_url, chosen.api_key, identity.id)
            link = _link(chosen, identity, journal, own)
            resources.push_async_callback(link.close)
            relay = Relay(own.pass_on)
            resources.callback(relay.close)
            await relay.open(identity.directory)
            driver: Driver = registry.load(DRIVER)(identity.directory)
            self._check_default(driver)
            resources.push_async_callback(driver.close)
            conductor = Conductor(
                link,
                journal,
                driver,
                self._registration(identity, driver),
                identity.directory / "jobs",
                once=self.run_once,
                default_infrastructure=self.default_infrastructure,
                bounds=Bounds(chosen.output_quota, chosen.spool_limit),
                relay=relay,
            )
            noting = Notes()
            logging.getLogger("reeve").addHandler(noting)
            resources.callback(logging.getLogger("reeve").removeHandler, noting)
            door = Door(conductor.status)
            address = await door.open(chosen.status_host, chosen.status_port)
            resources.push_async_callback(door.close)
            self.logger.info("%s/status says how this agent is", address)
            self._resources = resources.pop_all()
        self._conductor = conductor
        self._life = asyncio.create_task(conductor.run(chosen.drain_timeout, leave_runs=chosen.leave_runs))

    def stop(self) -> None:
        """Claim no more, and be over when the running runs have ended; asked again, end them at once."""
        self._started_conductor().stop()

    async def wait(self) -> None:
        """Return when there is nothing more to do: after ``stop``, or with ``run_once``.

        Raises ReeveError when it cannot go on: the server refuses it, a newer process of it has taken over,
        with ``run_once`` the server is out of reach.
        """
        self._started_conductor()
        assert self._life is not None
        await asyncio.shield(self._life)

    async def shutdown(self) -> None:
        """Claim no more, let runs finish for the drain timeout of the settings, end the rest, let go.

        Raises what ``wait`` raises. An agent that was not started has nothing to do.
        """
        if self._conductor is None or self._life is None:
            return
        self._conductor.leave()
        try:
            await self._life
        finally:
            await self._let_go()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Shut down; after an error let go at once: runs go on, and the next start adopts them (W1)."""
        if error is None:
            await self.shutdown()
        else:
            await self._let_go()

    async def _let_go(self) -> None:
        if self._life is not None:
            await tasks.cancel([self._life])
        self._life = self._conductor = None
        await self._resources.aclose()

    def _started_conductor(self) -> Conductor:
        if self._conductor is None:
            raise RuntimeError("Agent is not started. Use `async with Agent()...`")  # A11
        return self._conductor

    def _check(self) -> None:
        if not (self.work_queues or self.work_queue_prefix or self.work_pool_name):
            raise InvalidInputError(  # A31, A152: nothing named is nothing served, not everything (W10)
                "No work queues provided! Name queues (-q), a prefix of their names (-m), or a pool (-p).",
                field="work_queues",
            )
        for name in ("limit", "prefetch_seconds"):
            value = getattr(self, name)
            if value is not None and value < 0:
                raise InvalidInputError(f"'{name}' must be 0 or more.", field=name)  # A64

    def _check_default(self, driver: Driver) -> None:
        block = self.default_infrastructure
        if block is not None and block.type not in driver.kinds:
            raise InvalidInputError(
                f"There is no driver here for the default infrastructure, a block of the type "
                f"'{block.type}'. This agent launches: {', '.join(sorted(driver.kinds))}.",
                field="default_infrastructure",
            )

    def _registration(self, identity: Identity, driver: Driver) -> Register:
        return Register(
            id=identity.id,
            name=identity.name,
            host=identity.host,
            machine_id=identity.machine_id,
            boot_id=identity.boot_id,
            pool=self.work_pool_name,
            queues=sorted(self.work_queues),
            prefixes=self.work_queue_prefix,
            kinds=sorted(driver.kinds),
            prefetch_seconds=self.prefetch_seconds or 0.0,
            default_infrastructure_document_id=self.default_infrastructure_document_id,
            default_kind=self.default_infrastructure.type if self.default_infrastructure else None,
            limit=DEFAULT_LIMIT if self.limit is None else self.limit,
            version=VERSION,
        )


def _link(settings: Settings, identity: Identity, journal: Journal, own: OwnLink) -> MeetingLink:
    """Return the link to the server, of reeve's or of 2.20's, whichever is found at the address.

    Only a key that was given is shown by the runs of a 2.20 server as well: the home's own is for reeve.
    """
    given = None if settings.api_key == home_key(settings.home) else settings.api_key
    theirs = PollingLink(
        own.client,
        identity.id,
        own.answered,
        attempts={entry.attempt_id: entry.flow_run_id for entry in journal.entries()},
        key=given or "",
        every=settings.poll_seconds,
    )
    return MeetingLink(own, theirs)


def serve(agent: Agent, log_level: str) -> None:
    """Run an agent in the foreground until SIGTERM or SIGINT; a second signal ends its runs at once.

    ``log_level``: what it says on standard error. Raises ReeveError with a sentence for the user.
    """
    logs.set_up(log_level)
    eventloop.run(_serve(agent))


async def _serve(agent: Agent) -> None:
    loop = asyncio.get_running_loop()
    async with agent:
        for number in (signal.SIGTERM, signal.SIGINT):  # SIGINT too where a shell had it ignored (W9)
            loop.add_signal_handler(number, agent.stop)
        await agent.wait()
