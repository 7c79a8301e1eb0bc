"""Whatever keeps a run from starting is named, and what is named is all of it: both databases, real polls."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from msgspec import Struct
from tests.server.outside import Json, Outside, made

HOLD_SECONDS = 25.0  # polls stay open longer than PATIENCE: only a wake-up answers them in time
PATIENCE = 15.0


class Plight(Struct, frozen=True, kw_only=True):
    """What is to keep a run from starting: nothing, unless said."""

    due_in: float = 0.0
    ahead: int = 0
    pool_paused: bool = False
    queue_paused: bool = False
    pool_limit: bool = False
    queue_limit: bool = False
    deployment_limit: bool = False
    blockers: int = 0  # runs that another agent holds: they fill the limits, else these are 0
    agent: str = "idle"


PLIGHTS = st.builds(
    Plight,
    due_in=st.sampled_from([0.0, 0.0, 0.5]),
    ahead=st.integers(0, 2),
    pool_paused=st.booleans(),
    queue_paused=st.booleans(),
    pool_limit=st.booleans(),
    queue_limit=st.booleans(),
    deployment_limit=st.booleans(),
    blockers=st.integers(0, 2),
    agent=st.sampled_from(
        ["none", "idle", "silent", "stopped", "paused", "draining", "full", "full and paused", "driverless"]
    ),
)


class Scene:
    """A pool with a queue, a deployment, and an agent that speaks the claim protocol."""

    def __init__(self, api: Outside) -> None:
        self.api = api
        self.name = f"s{uuid4().hex[:8]}"
        self.blockers: list[Json] = []
        self.ahead: list[Json] = []
        self.run: Json = {}
        self.agent = MiniAgent(api, self.name)
        self.deployment: Json = {}

    async def set(self, plight: Plight) -> None:
        api = self.api
        await api.pool(self.name, type="process")
        self.deployment = await api.deployment(self.name, flow=self.name, work_pool_name=self.name)
        for _ in range(plight.blockers):
            await self._block()
        await self._prepare_agent(plight.agent)
        if plight.pool_limit:
            await self._pool(concurrency_limit=len(self.blockers))
        if plight.queue_limit:
            await self._queue(concurrency_limit=len(self.blockers))
        if plight.deployment_limit:
            await self._deployment(concurrency_limit=len(self.blockers))
        if plight.pool_paused:
            await self._pool(is_paused=True)
        if plight.queue_paused:
            await self._queue(is_paused=True)
        for _ in range(plight.ahead):
            self.ahead.append(await self._ask_for(-5))
        self.run = await self._ask_for(plight.due_in)

    async def _prepare_agent(self, how: str) -> None:
        agent = self.agent
        if how == "none":
            return
        if how.startswith("full"):
            agent.limit = 1
            self.blockers.append(await self._ask_for(-9))
        if how == "driverless":
            agent.kinds = ["docker-container"]
        await agent.start()
        if how.startswith("full"):
            await agent.granted(self.blockers[-1]["id"])
        if how == "full and paused":
            await agent.told("PAUSED")
        if how in {"paused", "draining"}:
            await agent.told(how.upper())
        if how in {"silent", "stopped"}:
            await agent.end()
            await self._mark(how.upper())

    async def _mark(self, status: str) -> None:
        statement = "update agents set status = $2, last_seen = last_seen - 90000000 where id = $1"
        await self.api.ctx.store.write(lambda tx: tx.execute(statement, self.agent.id, status))

    async def _block(self) -> None:
        """Have a run be held by an agent that is not there any more."""
        run = await self._ask_for(-9)
        grant = await self.api.grant(pool=self.name)
        assert grant["run"]["id"] == run["id"]
        await self.api.post(f"/agents/{grant['agent_id']}/stop", {"epoch": grant["epoch"]})
        self.blockers.append(run)

    async def _ask_for(self, seconds: float) -> Json:
        at = (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()
        state = {"type": "SCHEDULED", "state_details": {"scheduled_time": at}}
        run: Json = await self.api.run_of(self.deployment, state=state)
        return run

    async def _pool(self, **fields: Any) -> None:
        await self.api.patch(f"/work_pools/{self.name}", fields)

    async def _queue(self, **fields: Any) -> None:
        await self.api.patch(f"/work_pools/{self.name}/queues/default", fields)

    async def _deployment(self, **options: Any) -> None:
        made(await self.api.put(f"/deployments/{self.deployment['id']}/options", options))

    async def explain(self) -> Json:
        found: Json = made(await self.api.get(f"/flow_runs/{self.run['id']}/explain"))
        return found

    async def remove(self, kind: str) -> None:
        """Take one cause away, as a user would."""
        match kind:
            case "POOL_PAUSED":
                await self._pool(is_paused=False)
            case "QUEUE_PAUSED":
                await self._queue(is_paused=False)
            case "LIMIT_FULL" if not self.blockers:
                await self._pool(concurrency_limit=1)
                await self._queue(concurrency_limit=1)
                await self._deployment(concurrency_limit=1)
            case "LIMIT_FULL" | "AGENT_FULL":
                await self._end(self.blockers)
            case "RUNS_AHEAD":
                await self._end(self.ahead)
            case "NO_AGENT" | "AGENT_DRAINING":
                await self.agent.end()
                await self.agent.start()
            case "NO_DRIVER":
                await self.agent.end()
                self.agent.kinds = ["process"]
                await self.agent.start()
            case "AGENT_PAUSED":
                await self.agent.told("RUNNING")
            case "NOT_DUE" | "BEING_CLAIMED" | "BEING_LAUNCHED":
                pass  # time does it
            case _:
                raise AssertionError(kind)

    async def _end(self, runs: list[Json]) -> None:
        for run in runs:
            await self.api.post(f"/flow_runs/{run['id']}/cancel", {"force": True})


class MiniAgent:
    """Keeps one poll open and takes what it is granted; it launches nothing."""

    def __init__(self, api: Outside, pool: str) -> None:
        self.api = api
        self.pool = pool
        self.id = uuid4()
        self.limit = 5
        self.kinds = ["process"]
        self.runs: set[str] = set()
        self.mode = "RUNNING"
        self._held: list[str] = []
        self._acked = 0
        self._seq = 0
        self._news = asyncio.Condition()
        self._life: asyncio.Task[None] | None = None

    async def start(self) -> None:
        who = {"id": str(self.id), "name": self.pool, "host": "h", "machine_id": "m", "boot_id": "b"}
        serves = {"pool": self.pool, "limit": self.limit, "held": self._held, "kinds": self.kinds}
        epoch = made(await self.api.post("/agents/register", {**who, **serves, "version": "0"}))["epoch"]
        self._life = asyncio.create_task(self._live(epoch))

    async def end(self) -> None:
        if self._life is not None:
            self._life.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._life
            self._life = None

    async def told(self, mode: str) -> None:
        """Have the server tell it something, and wait until it has heard."""
        made(await self.api.post(f"/agents/{self.id}/mode", {"mode": mode}))
        async with asyncio.timeout(PATIENCE), self._news:
            await self._news.wait_for(lambda: self.mode == mode)

    async def granted(self, run_id: str) -> None:
        async with asyncio.timeout(PATIENCE), self._news:
            await self._news.wait_for(lambda: run_id in self.runs)

    async def _live(self, epoch: int) -> None:
        while True:
            self._seq += 1
            free = max(self.limit - len(self._held), 0)
            holds = {"held": self._held, "acked_grant": self._acked, "mode": self.mode}
            poll = {"epoch": epoch, "seq": self._seq, "free": free, "hold_seconds": HOLD_SECONDS, **holds}
            work = made(await self.api.post(f"/agents/{self.id}/poll", poll, timeout=HOLD_SECONDS + 5))
            async with self._news:
                for grant in work["grants"]:
                    self._held.append(grant["attempt_id"])
                    self._acked = grant["number"]
                    self.runs.add(grant["run"]["id"])
                self._held = [one for one in self._held if one not in work["stop"]]
                self.mode = work["mode"]
                self._news.notify_all()


@contextlib.asynccontextmanager
async def scene(api: Outside) -> AsyncIterator[Scene]:
    made_scene = Scene(api)
    try:
        yield made_scene
    finally:
        await made_scene.agent.end()


@settings(
    max_examples=15,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # to shrink is to wait, again and again
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(plight=PLIGHTS)
async def test_without_the_named_causes_a_run_starts(api: Outside, plight: Plight) -> None:
    async with scene(api) as here:
        await here.set(plight)
        told = await here.explain()
        assert told["causes"], told
        for cause in told["causes"]:
            await here.remove(cause["kind"])
        try:
            await here.agent.granted(here.run["id"])
        except TimeoutError:
            raise AssertionError((plight, told, await here.explain())) from None


async def test_a_full_limit_names_who_fills_it(api: Outside) -> None:
    async with scene(api) as here:
        await here.set(Plight(pool_limit=True, blockers=2))
        (cause,) = (await here.explain())["causes"]
        assert cause["kind"] == "LIMIT_FULL"
        names = {run["name"] for run in here.blockers}
        assert all(name in cause["sentence"] for name in names), (names, cause)


async def test_a_full_deployment_says_who_fills_it_and_what_raises_it(api: Outside) -> None:
    async with scene(api) as here:
        await here.set(Plight(ahead=1, deployment_limit=True, blockers=2))
        told = await here.explain()
        (cause, ahead) = told["causes"]
        assert (cause["kind"], ahead["kind"]) == ("LIMIT_FULL", "RUNS_AHEAD")
        held = ", ".join(run["name"] for run in here.blockers)
        name = here.deployment["name"]
        said = f"The limit of deployment '{name}' is full: 2 of 2 slots are taken, held by {held}."
        assert cause["sentence"] == said
        remedy = f"To raise the limit of deployment '{name}': reeve deploy … -n {name} --concurrency-limit N"
        assert told["remedies"] == [remedy]
        other = await here.api.deployment("free", flow=here.name, work_pool_name=here.name)
        here.run = await here.api.run_of(other)
        kinds = [cause["kind"] for cause in (await here.explain())["causes"]]
        assert "RUNS_AHEAD" not in kinds, kinds
        await here.agent.granted(here.run["id"])


async def test_a_pause_says_since_when(api: Outside) -> None:
    async with scene(api) as here:
        await here.set(Plight(pool_paused=True, queue_paused=True))
        today = f"{datetime.now(UTC):%Y-%m-%d}"
        paused = [cause for cause in (await here.explain())["causes"] if cause["kind"].endswith("_PAUSED")]
        assert len(paused) == 2
        assert all(f"is paused since {today}" in cause["sentence"] for cause in paused), paused
