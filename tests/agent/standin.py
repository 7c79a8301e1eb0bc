"""A server that speaks the agent protocol over real HTTP, and lets a test lose answers, vanish and come back.

It keeps to protocol §3, §6 and §7 as far as an agent can tell, and remembers all it was told.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

from msgspec import Raw

from reeve.core.deployments import Engine
from reeve.core.runs import FlowRunPolicy
from reeve.core.work import OnLost
from reeve.wire import codec, endpoints
from reeve.wire.endpoints import Endpoint
from reeve.wire.requests import (
    AnyReport,
    AttemptReports,
    Call,
    Calls,
    Exited,
    Farewell,
    Launched,
    NotLaunched,
    Output,
    Poll,
    Register,
    Renew,
    Reports,
)
from reeve.wire.responses import (
    CallReply,
    Cancel,
    DeploymentResponse,
    FlowRunResponse,
    Grant,
    Problem,
    Receipt,
    Registration,
    Renewal,
    ServedQueue,
    ServerInfo,
    Work,
)

WAIT_SECONDS = 20.0  # a test that waits longer has failed; the machine may be busy
NOW = "2026-01-01T00:00:00+00:00"
SERVED = (
    endpoints.server_info,
    endpoints.register_agent,
    endpoints.poll_agent,
    endpoints.stop_agent,
    endpoints.renew_attempts,
    endpoints.report_attempts,
    endpoints.attempt_output,
    endpoints.relay_calls,
)


class Refused(Exception):  # noqa: N818  # it is an answer
    """An answer that is an error."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status


@dataclass
class Attempt:
    """What the server knows of one attempt."""

    grant: Grant
    epoch: int = 0  # 0: due, not granted
    granted: int = 0  # how many answers carried it
    reports: list[AnyReport] = field(default_factory=list)
    output: dict[str, str] = field(default_factory=lambda: {"stdout": "", "stderr": ""})
    offsets: dict[str, int] = field(default_factory=lambda: {"stdout": 0, "stderr": 0})
    renewals: int = 0
    cancelled: bool = False
    closed: bool = False
    forgotten: bool = False  # the run was deleted

    @property
    def id(self) -> UUID:
        return self.grant.attempt_id

    @property
    def end(self) -> Exited | NotLaunched | None:
        last = self.reports[-1] if self.reports else None
        return last if isinstance(last, Exited | NotLaunched) else None

    @property
    def exit(self) -> Exited:
        assert isinstance(self.end, Exited), self.reports
        return self.end

    @property
    def launched(self) -> Launched | None:
        return next((one for one in self.reports if isinstance(one, Launched)), None)


class StandIn:
    """The server. ``figures`` are those of the registrations it answers."""

    def __init__(self) -> None:
        self.figures: dict[str, Any] = {
            "lease_seconds": 20.0,
            "renew_seconds": 5.0,
            "margin_seconds": 2.0,
            "poll_seconds": 25.0,
        }
        self.attempts: dict[UUID, Attempt] = {}
        self.registrations: list[Register] = []
        self.polls: list[Poll] = []
        self.farewells: list[Farewell] = []
        self.forget: list[UUID] = []
        self.refusal: Refused | None = None  # of registrations
        self.refusals: dict[str, Refused] = {}  # of requests, by the names of their endpoints
        self.refused = 0  # how many requests were
        self.requests: list[list[str]] = []  # the names of what each asks for: itself, and what it passes on
        self.is_generous = False  # grants more than there are slots, as two crossing polls may
        self.is_crossing = False  # grants to a poll that a newer one has overtaken, as a claim under way does
        self.repeated: list[Grant] = []  # sent once more with the next work, as a late answer would
        self.served: list[ServedQueue] | None = None  # as work names them
        self.epoch = 0
        self.port = 0
        self._last_grant = 0
        self._losing: list[str] = []
        self._late: dict[str, asyncio.Event] = {}
        self._changed = asyncio.Condition()
        self._listener: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._routes = [(one, _pattern(one)) for one in SERVED]

    # --- for tests

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/api"

    @property
    def newest(self) -> Poll:
        """The poll that was sent last; two at once may arrive in any order."""
        return max(self.polls, key=lambda poll: (poll.epoch, poll.seq))

    async def up(self) -> None:
        """Listen: at a free port first, at the same one ever after."""
        self._listener = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._listener.sockets[0].getsockname()[1]

    async def down(self) -> None:
        """Vanish: what is asked just now gets no answer, what is asked later no connection."""
        assert self._listener is not None
        self._listener.close()
        for connection in list(self._connections):
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    def lose(self, endpoint: Endpoint[Any, Any]) -> None:
        """Lose the answer to the next request of this kind, after it was obeyed."""
        self._losing.append(endpoint.name)

    def delay(self, endpoint: Endpoint[Any, Any]) -> asyncio.Event:
        """Obey the next request of this kind, and keep its answer until the event is set."""
        return self._late.setdefault(endpoint.name, asyncio.Event())

    async def submit(self, *command: str, **fields: Any) -> Attempt:
        """Have a run be due that executes a command; ``fields`` are those of ``grant``."""
        attempt = Attempt(grant(list(command), **fields))
        self.attempts[attempt.id] = attempt
        await self._tell()
        return attempt

    async def cancel(self, attempt: Attempt) -> None:
        """Ask for an attempt's run to be cancelled."""
        attempt.cancelled = True
        await self._tell()

    async def until(self, condition: Callable[[], Any]) -> None:
        """Wait until a condition holds; it is looked at after each request."""
        async with self._changed, asyncio.timeout(WAIT_SECONDS):
            await self._changed.wait_for(condition)

    async def lose_memory(self) -> None:
        """Behave as if started with an empty database."""
        self.epoch = self._last_grant = 0
        self.attempts.clear()
        await self._tell()

    async def supersede(self) -> None:
        """Behave as if another process of this agent had registered."""
        self.epoch += 1
        await self._tell()

    # --- the protocol

    def register_agent(self, _: UUID, body: Register) -> Registration:
        if self.refusal:
            raise self.refusal
        self.epoch += 1
        self.registrations.append(body)
        for attempt in self.attempts.values():
            if attempt.epoch and not attempt.closed and attempt.id in body.held:
                attempt.epoch = self.epoch
            elif attempt.epoch:
                attempt.closed = True
        return Registration(
            epoch=self.epoch,
            pool=body.pool or "default-agent-pool",
            queues=[],
            forget=self.forget,
            **self.figures,
        )

    async def poll_agent(self, _: UUID, body: Poll) -> Work:
        self.polls.append(body)
        await self._tell()
        try:
            async with asyncio.timeout(body.hold_seconds), self._changed:
                while (work := self._news(body)) is None:
                    await self._changed.wait()
                return work
        except TimeoutError:
            return Work()

    def _news(self, poll: Poll) -> Work | None:
        """Return the answer to a poll, None when there is nothing to say yet."""
        self._check_epoch(poll.epoch)
        if any(one.seq > poll.seq for one in self.polls if one.epoch == poll.epoch):
            return self._work(poll) if self.is_crossing else Work()
        work = self._work(poll)
        return work if work.grants or work.cancel else None

    def _work(self, poll: Poll) -> Work:
        again = [one for one in self._open() if one.grant.number > poll.acked_grant]
        due = [one for one in self.attempts.values() if not one.epoch]
        if not self.is_generous:
            due = due[: max(poll.free - len(again), 0)]
        for attempt in due:
            self._last_grant += 1
            attempt.epoch = self.epoch
            attempt.grant.number = self._last_grant
        for attempt in (*again, *due):
            attempt.granted += 1
        late, self.repeated = self.repeated, []
        return Work(
            grants=[*late, *(one.grant for one in (*again, *due))],
            served=self.served,
            cancel=[
                Cancel(attempt_id=one.id)
                for one in self._open()
                if one.cancelled and one.id not in poll.stopping
            ],
        )

    def renew_attempts(self, _: UUID, body: Renew) -> Renewal:
        over = []
        for token in body.attempts:
            attempt = self.attempts[token.id]
            assert token.token == attempt.grant.token
            attempt.renewals += 1
            if attempt.closed:
                over.append(attempt.id)
        return Renewal(lease_seconds=self.figures["lease_seconds"], stop=[], over=over)

    def report_attempts(self, _: UUID, body: Reports) -> list[Receipt]:
        self._check_epoch(body.epoch)
        return [self._report(one) for one in body.attempts]

    def _report(self, told: AttemptReports) -> Receipt:
        if told.id not in self.attempts:  # its run was deleted
            return Receipt(id=told.id, next_seq=1, closed=True)
        attempt = self.attempts[told.id]
        for report in told.reports:
            if not attempt.closed and report.seq == len(attempt.reports) + 1:
                attempt.reports.append(report)
        attempt.closed = attempt.closed or attempt.end is not None
        return Receipt(id=told.id, next_seq=len(attempt.reports) + 1, closed=attempt.closed)

    def attempt_output(self, id_: UUID, body: Output) -> None:
        self._check_epoch(body.epoch)
        attempt = self._attempt(id_)
        assert not attempt.end, "output comes before the end is reported"
        for chunk in body.chunks:
            end = chunk.offset + len(chunk.text.encode())
            if end > attempt.offsets[chunk.stream]:  # the rest is here already
                attempt.output[chunk.stream] += chunk.text
                attempt.offsets[chunk.stream] = end

    def server_info(self, _: UUID, _body: None) -> ServerInfo:
        return ServerInfo(name="reeve", version="0", api_version="0.8.4", database="none")

    def stop_agent(self, _: UUID, body: Farewell) -> None:
        self._check_epoch(body.epoch)
        self.farewells.append(body)

    def _open(self) -> list[Attempt]:
        return [one for one in self.attempts.values() if one.epoch == self.epoch and not one.closed]

    def _attempt(self, id_: UUID) -> Attempt:
        attempt = self.attempts[id_]
        if attempt.forgotten:
            raise Refused(404, "There is no such attempt.")
        return attempt

    def _check_epoch(self, epoch: int) -> None:
        if epoch > self.epoch:
            raise Refused(404, "This agent is not known.")
        if epoch < self.epoch:
            raise Refused(409, "A newer process of this agent has registered.")

    # --- HTTP/1.1, as much as there is of it here

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = asyncio.current_task()
        assert connection is not None
        self._connections.add(connection)
        try:
            while head := await _head(reader):
                method, target = head.split(" ")[:2]
                length = re.search(r"content-length: (\d+)", head, re.IGNORECASE)
                body = await reader.readexactly(int(length[1]) if length else 0)
                asked, status, answer = await self._answer(method, target, body)
                self.requests.append(asked)
                for late in [self._late.pop(one) for one in asked if one in self._late]:
                    await late.wait()
                if lost := [one for one in asked if one in self._losing]:
                    self._losing.remove(lost[0])
                    break
                writer.write(
                    f"HTTP/1.1 {status} X\r\nContent-Length: {len(answer)}\r\n\r\n".encode() + answer
                )
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # cancelled by ``down``
        finally:
            self._connections.discard(connection)
            writer.close()

    async def _answer(self, method: str, target: str, body: bytes) -> tuple[list[str], int, bytes]:
        """Return the names of what is asked, and the answer."""
        endpoint, id_ = self._route(method, target)
        try:
            if refusal := self.refusals.get(endpoint.name):
                raise refusal
            if endpoint is endpoints.relay_calls:
                return await self._answer_each(codec.decode(body, Calls).calls)
            answer = getattr(self, endpoint.name)(id_, codec.decode(body, endpoint.request) if body else None)
            if asyncio.iscoroutine(answer):
                answer = await answer
        except Refused as refused:
            self.refused += 1
            await self._tell()
            return [endpoint.name], refused.status, codec.encode(Problem(detail=str(refused), code="refused"))
        await self._tell()
        return [endpoint.name], endpoint.status, b"" if answer is None else codec.encode(answer)

    async def _answer_each(self, calls: Sequence[Call]) -> tuple[list[str], int, bytes]:
        names, replies = [endpoints.relay_calls.name], []
        for call in calls:
            asked, status, answer = await self._answer(call.method, f"/api{call.path}", call.body)
            names += asked
            replies.append(CallReply(status=status, body=Raw(answer or b"null")))
        return names, endpoints.relay_calls.status, codec.encode(replies)

    def _route(self, method: str, target: str) -> tuple[Endpoint[Any, Any], UUID]:
        for endpoint, pattern in self._routes:
            if endpoint.method == method and (found := pattern.fullmatch(target)):
                return endpoint, UUID(found["id"]) if "id" in found.groupdict() else UUID(int=0)
        raise AssertionError(f"the agent asks for {method} {target}")

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()


def _pattern(endpoint: Endpoint[Any, Any]) -> re.Pattern[str]:
    return re.compile("/api" + endpoint.path.replace("{id}", "(?P<id>[0-9a-f-]{36})"))


async def _head(reader: asyncio.StreamReader) -> str:
    try:
        return (await reader.readuntil(b"\r\n\r\n")).decode()
    except asyncio.IncompleteReadError:
        return ""


def grant(
    command: list[str],
    *,
    engine: Engine = Engine.PREFECT,
    template: dict[str, Any] | None = None,
    overrides: dict[str, Any] | None = None,
    run_variables: dict[str, Any] | None = None,
    path: str | None = None,
    on_lost: OnLost = OnLost.WAIT,
) -> Grant:
    """Return the grant of a run of a deployment; without a command, that of the engine."""
    own = {"command": command} if command else {}
    flow_id, deployment_id = uuid4(), uuid4()
    deployment = DeploymentResponse(
        id=deployment_id,
        created=NOW,
        updated=NOW,
        infra_overrides={**own, **(overrides or {})},
        name="nightly",
        flow_id=flow_id,
        schedules=[],
        parameters={},
        tags=["deployed"],
        path=path,
        entrypoint="flow.py:main",
    )
    run = FlowRunResponse(
        id=uuid4(),
        created=NOW,
        updated=NOW,
        name="brave-owl",
        flow_id=flow_id,
        deployment_id=deployment_id,
        parameters={"n": 3},
        context={},
        empirical_policy=FlowRunPolicy(),
        tags=["t"],
        job_variables=run_variables,
    )
    return Grant(
        number=0,
        attempt_id=uuid4(),
        token=f"token-{uuid4().hex}",
        lease_seconds=20.0,
        attempt_number=1,
        run=run,
        flow_name="etl",
        deployment=deployment,
        engine=engine,
        base_job_template=template or {},
        on_lost=on_lost,
    )
