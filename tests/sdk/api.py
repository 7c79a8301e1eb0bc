"""A small server for the process of a run: real HTTP, the real rules, one run and one attempt token.

Bodies are read as the wire declares them, so that a field the contract does not know fails the test.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from uuid import UUID, uuid4

import msgspec

from reeve.core import bookkeeping
from reeve.core.attempts import AttemptKind
from reeve.core.rules import flow_runs, task_runs
from reeve.core.rules.fence import Caller
from reeve.core.rules.verdict import Effect
from reeve.core.runs import FlowRun, FlowRunPolicy, TaskRun, TaskRunPolicy
from reeve.core.states import ProposedState, State, StateDetails, StateType, propose
from reeve.errors import AttemptSupersededError
from reeve.wire import codec, requests
from reeve.wire.endpoints import ENDPOINTS, E

TOKEN = "token-of-the-attempt"


@dataclass
class Api:
    """What the server knows. ``asked`` names the operations asked for, in order."""

    flow_runs: dict[UUID, FlowRun] = field(default_factory=dict)
    task_runs: dict[UUID, TaskRun] = field(default_factory=dict)
    history: dict[UUID, list[State]] = field(default_factory=dict)
    logs: list[requests.LogCreate] = field(default_factory=list)
    flows: dict[str, UUID] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    holder: str = TOKEN
    cache: dict[str, State] = field(default_factory=dict)
    zero_tag: str | None = None  # a tag of all tasks that are asked for, whose limit is 0
    refuse: dict[str, list[int]] = field(default_factory=dict)  # operation → statuses of its next answers
    swallow: list[str] = field(default_factory=list)  # operations whose next answer is lost on the way
    changed: threading.Condition = field(default_factory=threading.Condition)

    def add_run(self, state: StateType = StateType.PENDING, **fields: Any) -> UUID:
        """Make a claimed run and return its id."""
        now, id_ = datetime.now(UTC), uuid4()
        named = {"name": "brave-fox", **fields}
        run = FlowRun(id=id_, created=now, updated=now, flow_id=uuid4(), **named)
        self.flow_runs[id_] = bookkeeping.enter_flow_run_state(run, _state(propose(state), now))
        self.history[id_] = [self.flow_runs[id_].state]  # type: ignore[list-item]
        return id_

    def enter(self, run_id: UUID, type_: StateType) -> None:
        """Have a flow run enter a state that somebody else asked for."""
        state = _state(propose(type_), datetime.now(UTC))
        self.flow_runs[run_id] = bookkeeping.enter_flow_run_state(self.flow_runs[run_id], state)
        self.history[run_id].append(state)

    def names(self, run_id: UUID) -> list[str]:
        """Return the names of the states the run has been in."""
        return [state.name for state in self.history[run_id]]

    def tasks(self, flow_run_id: UUID) -> dict[str, list[str]]:
        """Return the task runs of a flow run by name, with the names of their states."""
        runs = [run for run in self.task_runs.values() if run.flow_run_id == flow_run_id]
        return {run.name: self.names(run.id) for run in runs}

    def messages(self, level: int = 0) -> list[str]:
        """Return what was logged, oldest first."""
        return [
            line.message for line in sorted(self.logs, key=lambda one: one.timestamp) if line.level >= level
        ]

    def wait_for(self, condition: Callable[[], bool], seconds: float = 20) -> None:
        """Wait until something that this server has heard makes the condition true."""
        with self.changed:
            assert self.changed.wait_for(condition, seconds), f"never came true; asked for: {self.asked}"

    def answer(self, operation: E, path: dict[str, str], body: Any, token: str) -> tuple[int, Any]:
        """Perform one operation; return its status and its answer."""
        self.asked.append(operation.name)
        if statuses := self.refuse.get(operation.name):
            return statuses.pop(0), {"detail": "not now"}
        try:
            return getattr(self, f"_{operation.name}")(body, token, **path)  # type: ignore[no-any-return]
        except AttemptSupersededError as error:
            return 403, {"detail": str(error), "code": error.code}
        except KeyError as error:
            return 404, {"exception_message": f"There is no {error}"}

    def _create_flow(self, body: requests.FlowCreate, token: str) -> tuple[int, Any]:
        id_ = self.flows.setdefault(body.name, uuid4())
        return 201, {"id": id_, "created": _now(), "updated": _now(), "name": body.name, "tags": []}

    def _create_flow_run(self, body: requests.FlowRunCreate, token: str) -> tuple[int, Any]:
        assert body.state is not None
        id_ = self.add_run(
            body.state.type,
            name=body.name or "brave-fox",
            parent_task_run_id=body.parent_task_run_id,
            parameters=body.parameters,
            empirical_policy=body.empirical_policy or FlowRunPolicy(),
        )
        return 201, _flow_run(self.flow_runs[id_])

    def _update_flow_run(self, body: requests.FlowRunUpdate, token: str, id: str) -> tuple[int, Any]:  # noqa: A002
        run = self.flow_runs[UUID(id)]
        assert body.empirical_policy
        self.flow_runs[run.id] = msgspec.structs.replace(
            run,
            empirical_policy=body.empirical_policy,
            flow_version=body.flow_version or None,
            name=body.name or run.name,
        )
        return 204, None

    def _read_flow_run(self, body: None, token: str, id: str) -> tuple[int, Any]:  # noqa: A002
        return 200, _flow_run(self.flow_runs[UUID(id)])

    def _create_task_run(self, body: requests.TaskRunCreate, token: str) -> tuple[int, Any]:
        key = (body.flow_run_id, body.task_key, body.dynamic_key)
        for run in self.task_runs.values():
            if (run.flow_run_id, run.task_key, run.dynamic_key) == key:
                return 200, _task_run(run)
        now, id_ = datetime.now(UTC), uuid4()
        assert body.state is not None
        run = TaskRun(
            id=id_,
            created=now,
            updated=now,
            name=body.name or "",
            task_key=body.task_key,
            dynamic_key=body.dynamic_key,
            flow_run_id=body.flow_run_id,
            empirical_policy=body.empirical_policy or TaskRunPolicy(),
            tags=body.tags,
            task_inputs=body.task_inputs,
        )
        run = bookkeeping.enter_task_run_state(run, _state(propose(body.state.type), now))
        self.task_runs[id_], self.history[id_] = run, [run.state]  # type: ignore[list-item]
        return 201, _task_run(run)

    def _set_flow_run_state(self, body: requests.SetState, token: str, id: str) -> tuple[int, Any]:  # noqa: A002
        run, now = self.flow_runs[UUID(id)], datetime.now(UTC)
        caller = Caller.HOLDER if token == self.holder else Caller.SUPERSEDED
        facts = flow_runs.FlowRunFacts(attempt=AttemptKind.LEASED, caller=caller)
        verdict = flow_runs.decide(run, _proposed(body.state), facts, now)
        after = verdict.run
        if verdict.state is not None:
            after = bookkeeping.enter_flow_run_state(after, _state(verdict.state, now))
            self.history[run.id].append(after.state)  # type: ignore[arg-type]
        self.flow_runs[run.id] = after
        return _verdict(verdict, after.state)

    def _set_task_run_state(self, body: requests.SetState, token: str, id: str) -> tuple[int, Any]:  # noqa: A002
        run, now = self.task_runs[UUID(id)], datetime.now(UTC)
        assert run.flow_run_id is not None
        flow = self.flow_runs[run.flow_run_id]
        caller = Caller.HOLDER if token == self.holder else Caller.SUPERSEDED
        facts = task_runs.TaskRunFacts(
            attempt=AttemptKind.LEASED,
            caller=caller,
            flow_run_state=flow.state,
            flow_run_run_count=flow.run_count,
            zero_tag=self.zero_tag,
            cached=self.cache.get(_proposed(body.state).details.cache_key or ""),
        )
        verdict = task_runs.decide(run, _proposed(body.state), facts, now, force=body.force)
        after = verdict.run
        if verdict.state is not None:
            after = bookkeeping.enter_task_run_state(after, _state(verdict.state, now))
            assert after.state is not None
            self.history[run.id].append(after.state)
            if Effect.STORE_CACHE in verdict.effects:
                self.cache[after.state.details.cache_key or ""] = after.state
        self.task_runs[run.id] = after
        return _verdict(verdict, after.state)

    def _report_task_runs(self, body: requests.TaskRunReports, token: str, id: str) -> tuple[int, Any]:  # noqa: A002
        if token != self.holder:
            raise AttemptSupersededError
        now = datetime.now(UTC)
        for made in body.made:
            fields = msgspec.structs.asdict(made)
            fields["empirical_policy"] = made.empirical_policy or TaskRunPolicy()
            fields["task_inputs"] = {
                name: [{"input_type": "task_run", "id": str(id_)} for id_ in ids]
                for name, ids in made.task_inputs.items()
            }
            self.task_runs.setdefault(made.id, TaskRun(created=now, updated=now, **fields))
            self.history.setdefault(made.id, [])
        for entered in body.entered:
            if any(state.id == entered.id for state in self.history[entered.task_run_id]):
                continue
            at = now - timedelta(seconds=entered.age)
            proposed = propose(
                entered.type,
                name=entered.name,
                message=entered.message,
                data=entered.data,
                details=entered.state_details,
            )
            state = msgspec.structs.replace(_state(proposed, at), id=entered.id)
            run = bookkeeping.enter_task_run_state(self.task_runs[entered.task_run_id], state)
            assert run.state is not None
            self.task_runs[run.id] = run
            self.history[run.id].append(run.state)
        flows = {self.task_runs[entered.task_run_id].flow_run_id for entered in body.entered}
        states = {id_: self.flow_runs[id_].state for id_ in flows if id_ is not None}
        halted = [
            id_ for id_, state in states.items() if state is None or state.type is not StateType.RUNNING
        ]
        return 200, {"halted": halted}

    def _create_logs(self, body: list[requests.LogCreate], token: str) -> tuple[int, Any]:
        self.logs.extend(body)
        return 201, None


class Server(ThreadingHTTPServer):
    """The API on a free port of this machine."""

    daemon_threads = True

    def __init__(self, api: Api) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.api = api

    @property
    def url(self) -> str:
        """The address of the API."""
        return f"http://127.0.0.1:{self.server_address[1]}/api"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def setup(self) -> None:
        super().setup()
        self.request.setsockopt(6, 1, 1)  # TCP_NODELAY: headers and body are two writes

    def do_POST(self) -> None:
        operation, path = _route(self.command, self.path.removeprefix("/api"))
        raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = codec.decode(raw, operation.request) if raw else None
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        with self.server.api.changed:
            status, answer = self.server.api.answer(operation, path, body, token)
            self.server.api.changed.notify_all()
        if operation.name in self.server.api.swallow:
            self.server.api.swallow.remove(operation.name)
            self.close_connection = True
            return
        data = b"" if answer is None else codec.encode(answer)
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_PATCH = do_GET = do_POST  # noqa: N815  # the names BaseHTTPRequestHandler looks for

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Keep the test's output clean."""


def _route(method: str, path: str) -> tuple[E, dict[str, str]]:
    for operation in ENDPOINTS:
        pattern = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", operation.path)
        if operation.method == method and (match := re.fullmatch(pattern, path)):
            return operation, match.groupdict()
    raise AssertionError(f"{method} {path} is no operation of the API")


def _now() -> str:
    return codec.iso(datetime.now(UTC))


def _state(proposed: ProposedState, now: datetime) -> State:
    fields = {name: getattr(proposed, name) for name in ("type", "name", "message", "data", "details")}
    return State(id=uuid4(), timestamp=now, **fields)


def _proposed(state: requests.StateCreate) -> ProposedState:
    details = state.state_details or StateDetails()
    return propose(state.type, name=state.name, message=state.message, data=state.data, details=details)


def _verdict(verdict: Any, state: State | None) -> tuple[int, Any]:
    details: dict[str, Any] = {"type": f"{verdict.status.lower()}_details"}
    if verdict.reason is not None:
        details["reason"] = verdict.reason
    if verdict.delay_seconds is not None:
        details["delay_seconds"] = verdict.delay_seconds
    body = {"status": verdict.status, "details": details, "state": _wire(state) if state else None}
    return 201 if verdict.state is not None else 200, body


def _wire(state: State) -> dict[str, Any]:
    told: dict[str, Any] = msgspec.to_builtins(state)
    told["state_details"] = told.pop("details")
    return told


def _flow_run(run: FlowRun) -> dict[str, Any]:
    told: dict[str, Any] = msgspec.to_builtins(run)
    told["total_run_time"] = run.total_run_time.total_seconds()
    told["state"] = _wire(run.state) if run.state else None
    told["state_type"] = run.state.type if run.state else None
    return told


def _task_run(run: TaskRun) -> dict[str, Any]:
    told: dict[str, Any] = msgspec.to_builtins(run)
    told["total_run_time"] = run.total_run_time.total_seconds()
    told["state"] = _wire(run.state) if run.state else None
    return told
