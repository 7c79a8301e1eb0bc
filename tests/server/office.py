"""A server without HTTP for tests of its services: a store, a pool, a deployment, agents that poll."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID, uuid4

from msgspec.structs import replace

from reeve import clock
from reeve.core.attempts import LeaseTerms
from reeve.core.deployments import Flow
from reeve.core.runs import FlowRun
from reeve.core.states import StateType
from reeve.core.states import propose as proposal
from reeve.core.work import WorkPool
from reeve.server.loops.reaper import Reaper
from reeve.server.services import agents, attempts, deployments, runs
from reeve.server.services.context import Context, Principal
from reeve.server.services.hub import Hub
from reeve.server.services.proposals import Asked
from reeve.server.services.secrets import Keyring
from reeve.server.services.states import Decision
from reeve.server.storage import flows, rows, work
from reeve.server.storage.store import Store, Transaction
from reeve.wire import requests, responses

OPERATOR = Principal()
INSERT_DEPLOYMENT = """
insert into deployments (id, created, updated, flow_id, name, paused, job_variables, parameters, tags,
    work_queue_id, work_queue_name, enforce_parameter_schema, status)
values ($1, $2, $2, $3, $7, $4, '{}', '{}', '[]', $5, $6, $4, 'NOT_READY')
"""


class Office:
    """One pool "p" with its queue "default", one deployment, and whatever agents a test wants."""

    def __init__(self, store: Store, terms: LeaseTerms | None = None) -> None:
        hub = Hub()
        store.listen(hub.wake)
        keyring = Keyring.read("k" * 43)
        self.ctx = Context(
            store=store, hub=hub, secret=b"s" * 32, keyring=keyring, terms=terms or LeaseTerms()
        )
        self.pool_id = uuid4()
        self.queue_id = uuid4()
        self.flow_id = uuid4()
        self.deployment_id = uuid4()

    async def furnish(self, *, queue_limit: int | None = None, **options: Any) -> Office:
        """Make what an office has; ``options`` are those of ``PUT /deployments/{id}/options``."""

        async def body(tx: Transaction) -> None:
            now = await tx.now()
            pool = WorkPool(
                id=self.pool_id,
                created=now,
                updated=now,
                name="p",
                type="process",
                default_queue_id=self.queue_id,
            )
            await work.insert_pool(tx, pool)
            await tx.execute(
                "update work_queues set concurrency_limit = $2 where id = $1", self.queue_id, queue_limit
            )
            await flows.insert(tx, Flow(id=self.flow_id, created=now, updated=now, name="f"))

        await self.ctx.store.write(body)
        await self.ctx.store.write(partial(self._insert_deployment, self.deployment_id, "d"))
        await deployments.set_options(self.ctx, self.deployment_id, requests.DeploymentOptions(**options))
        return self

    async def another_deployment(self) -> UUID:
        """Make another deployment of the same flow, without options of its own."""
        made = uuid4()
        await self.ctx.store.write(partial(self._insert_deployment, made, f"d {made}"))
        return made

    async def _insert_deployment(self, id_: UUID, name: str, tx: Transaction) -> None:
        at = rows.micros(await tx.now())
        await tx.execute(INSERT_DEPLOYMENT, id_, at, self.flow_id, False, self.queue_id, "default", name)

    async def run(self, *, of: UUID | None = None, **fields: Any) -> FlowRun:
        """Ask for a run ``of`` another deployment, or of the office's own."""
        body = requests.DeploymentFlowRunCreate(**fields)
        made, _ = await runs.create_run_of_deployment(
            self.ctx, OPERATOR, of or self.deployment_id, body, None
        )
        return made

    async def read(self, run_id: UUID) -> FlowRun:
        return await runs.read(self.ctx, run_id)

    async def agent(self, name: str = "a", id_: UUID | None = None, **fields: Any) -> Desk:
        body = requests.Register(
            id=id_ or uuid4(),
            name=name,
            host="host",
            machine_id="m",
            boot_id="b",
            pool="p",
            version="0",
            **fields,
        )
        return Desk(self, body.id, await agents.register(self.ctx, body))

    async def propose(
        self, run_id: UUID, type_: StateType, attempt_id: UUID | None = None, *, force: bool = False
    ) -> Decision[FlowRun]:
        return await runs.propose(self.ctx, Asked(Principal(attempt_id), run_id, proposal(type_), force))

    async def attempts(self, run_id: UUID) -> list[responses.Attempt]:
        return await attempts.of_run(self.ctx, run_id)

    async def age_leases(self, seconds: float) -> None:
        """Move the ends of all leases into the past, as if nobody had renewed for so long."""
        moved = timedelta(seconds=seconds) // timedelta(microseconds=1)
        await self.ctx.store.write(partial(_age, micros=moved))

    def longer(self, **figures: float) -> None:
        self.ctx = Context(
            store=self.ctx.store,
            hub=self.ctx.hub,
            secret=self.ctx.secret,
            keyring=self.ctx.keyring,
            terms=replace(self.ctx.terms, **figures),
            presence=self.ctx.presence,
        )


def long_up(ctx: Context) -> Reaper:
    """Give the reaper of a server that has heard all renewals for long."""
    reaper, now = Reaper(ctx, 1.0), clock.now()
    for seconds in range(1000, -1, -1):
        reaper.hearing.heard(now - timedelta(seconds=seconds))
    return reaper


async def _age(tx: Transaction, micros: int) -> None:
    await tx.execute("update attempts set lease_until = lease_until - $1 where closed is null", micros)


class Desk:
    """An agent as the server sees it: polls and reports, without processes."""

    def __init__(self, office: Office, id_: UUID, registration: responses.Registration) -> None:
        self.office = office
        self.id = id_
        self.registration = registration
        self.epoch = registration.epoch
        self.held: list[UUID] = []
        self.acked = 0
        self.seq = 0
        self.tokens: dict[UUID, str] = {}
        self.reported: dict[UUID, int] = {}

    async def poll(self, free: int, *, hold: float = 0.0, acknowledge: bool = True) -> responses.Work:
        self.seq += 1
        body = requests.Poll(
            epoch=self.epoch,
            seq=self.seq,
            free=free,
            held=self.held,
            acked_grant=self.acked,
            hold_seconds=hold,
        )
        work_ = await agents.poll(self.office.ctx, self.id, body)
        for grant in work_.grants if acknowledge else []:
            self.held.append(grant.attempt_id)
            self.acked = grant.number
            self.tokens[grant.attempt_id] = grant.token
        return work_

    async def report(self, attempt_id: UUID, report: Any, seq: int | None = None) -> responses.Receipt:
        report.seq = seq or self.reported.get(attempt_id, 0) + 1
        self.reported[attempt_id] = report.seq
        told = requests.AttemptReports(id=attempt_id, reports=[report])
        body = requests.Reports(epoch=self.epoch, attempts=[told])
        (receipt,) = await attempts.report(self.office.ctx, body)
        if receipt.closed and attempt_id in self.held:
            self.held.remove(attempt_id)
        return receipt

    async def launched(self, attempt_id: UUID) -> None:
        await self.report(
            attempt_id, requests.Launched(seq=0, handle={"pid": 1}, infrastructure_pid="host:1")
        )

    async def exited(self, attempt_id: UUID, cause: str = "exited with code 0", **fields: Any) -> None:
        await self.report(attempt_id, requests.Exited(seq=0, cause=cause, **fields))

    async def renew(self, *attempt_ids: UUID) -> responses.Renewal:
        tokens = [requests.AttemptToken(id=each, token=self.tokens[each]) for each in attempt_ids]
        return await attempts.renew(self.office.ctx, requests.Renew(attempts=tokens))
