"""Pauses: a flow waits for somebody, in its process or out of it, and may be given a value.

Who resumes it finds in the state where the answer goes (``run_input_keyset``), and under it the schema that
the answer must fit. The keys are new for each pause, so that no earlier answer is taken for this one; a run
that is repeated finds those of its earlier pause in its own states.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar, overload
from uuid import UUID, uuid4

import msgspec

from reeve import clock
from reeve.core.states import SUSPENDED, ProposedState, StateDetails, StateType, propose
from reeve.errors import ConflictError, InvalidInputError, NotFoundError
from reeve.sdk import home
from reeve.sdk.asking import Question, answer, answer_on_loop, ask, both
from reeve.sdk.context import NoActiveRunError, Scope, current_scope
from reeve.sdk.engine.run import Aborted, Accepted, Kind, Rejected
from reeve.sdk.engine.server import read_answer
from reeve.sdk.following import until
from reeve.sdk.futures import in_event_loop
from reeve.sdk.parameters import convert, describe
from reeve.sdk.schema import type_schema
from reeve.sdk.secret import holds_secret, revealed
from reeve.sdk.states import RunAbortedError, RunFailedError, RunStopped
from reeve.wire import codec, endpoints, requests, responses

T = TypeVar("T")

_VALUE = "value"  # where an answer that is no mapping is put, as in 2.20


class PauseTimedOutError(RunFailedError, TimeoutError):
    """A paused run was not resumed in time; it has failed."""

    code = "pause_timed_out"


@overload
def pause_flow_run(
    wait_for_input: None = None, *, timeout: float | None = 3600, key: str | None = None
) -> None: ...
@overload
def pause_flow_run(wait_for_input: type[T], *, timeout: float | None = 3600, key: str | None = None) -> T: ...
def pause_flow_run(
    wait_for_input: Any = None, *, timeout: float | None = 3600, key: str | None = None
) -> Any:
    """Wait here, in the flow's process, until somebody resumes the run; return what they gave.

    wait_for_input
        The type of what is to be given: a dataclass, a msgspec Struct, a model of pydantic, or a plain type
        such as ``date``. The page, the command line and 2.20's clients ask for it by its schema.
    timeout
        After how many seconds the run fails, and PauseTimedOutError is raised; None waits for ever.
    key
        Names the pause, and by default its number in the flow: a pause that somebody ended is passed by
        when the same process, or the next after a suspension, comes to it again.

    Resume it with ``resume_flow_run`` or ``reeve runs resume ID``. In an event loop it returns what is to
    be awaited; ``apause_flow_run`` always does. Raises NoActiveRunError outside of a flow that a server
    hears of, and InvalidInputError for a value that does not fit.
    """
    question = _pause(_Pause.here(wait_for_input, timeout, key, "Paused"))
    return answer_on_loop(question) if in_event_loop() else answer(question)


@overload
async def apause_flow_run(
    wait_for_input: None = None,
    *,
    timeout: float | None = 3600,  # noqa: ASYNC109  # the server's to keep
    key: str | None = None,
) -> None: ...
@overload
async def apause_flow_run(
    wait_for_input: type[T],
    *,
    timeout: float | None = 3600,  # noqa: ASYNC109  # the server's to keep
    key: str | None = None,
) -> T: ...
async def apause_flow_run(
    wait_for_input: Any = None,
    *,
    timeout: float | None = 3600,  # noqa: ASYNC109  # the server's to keep
    key: str | None = None,
) -> Any:
    """Do as ``pause_flow_run``, in an event loop."""
    return await answer_on_loop(_pause(_Pause.here(wait_for_input, timeout, key, "Paused")))


@overload
def suspend_flow_run(
    wait_for_input: None = None, *, timeout: float | None = 3600, key: str | None = None
) -> None: ...
@overload
def suspend_flow_run(
    wait_for_input: type[T], *, timeout: float | None = 3600, key: str | None = None
) -> T: ...
def suspend_flow_run(
    wait_for_input: Any = None, *, timeout: float | None = 3600, key: str | None = None
) -> Any:
    """End this process until somebody resumes the run: then it is scheduled anew, and starts from its top.

    Where it comes here again it is given the answer, and goes on. Only the run of a deployment can be
    suspended, and no subflow: RunAbortedError. The rest is as with ``pause_flow_run``.
    """
    question = _suspend(_Pause.here(wait_for_input, timeout, key, SUSPENDED))
    return answer_on_loop(question) if in_event_loop() else answer(question)


@overload
async def asuspend_flow_run(
    wait_for_input: None = None,
    *,
    timeout: float | None = 3600,  # noqa: ASYNC109  # the server's to keep
    key: str | None = None,
) -> None: ...
@overload
async def asuspend_flow_run(
    wait_for_input: type[T],
    *,
    timeout: float | None = 3600,  # noqa: ASYNC109  # the server's to keep
    key: str | None = None,
) -> T: ...
async def asuspend_flow_run(
    wait_for_input: Any = None,
    *,
    timeout: float | None = 3600,  # noqa: ASYNC109  # the server's to keep
    key: str | None = None,
) -> Any:
    """Do as ``suspend_flow_run``, in an event loop."""
    return await answer_on_loop(_suspend(_Pause.here(wait_for_input, timeout, key, SUSPENDED)))


def _resume_flow_run(flow_run_id: UUID | str, run_input: Mapping[str, Any] | None = None) -> Question[None]:
    """Let a paused or suspended run go on; ``run_input`` is what it waits for, by the names of its fields.

    Raises ConflictError for a run that is not paused, InvalidInputError for what does not fit its schema.
    """
    run_id = flow_run_id if isinstance(flow_run_id, UUID) else UUID(flow_run_id)
    given = (
        None if run_input is None else msgspec.to_builtins(dict(run_input), str_keys=True, enc_hook=revealed)
    )
    run = yield from ask(endpoints.read_flow_run, id=run_id)
    keyset = run.state.state_details.run_input_keyset if run.state else None
    if keyset is not None:
        yield from _check(run_id, keyset, given or {})
    verdict = yield from ask(endpoints.resume_flow_run, requests.Resume(run_input=given), id=run_id)
    if verdict.status == "ACCEPT":
        return
    reason = verdict.details.get("reason") or "the server gives no reason"
    raise ConflictError(f"{run.name} ({run_id}) cannot be resumed: {reason}")


resume_flow_run, aresume_flow_run = both(_resume_flow_run)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pause:
    """One pause of a flow run, on its way to being a state."""

    scope: Scope
    wanted: Any  # the type of the answer; None: none is waited for
    timeout: float | None
    key: str
    name: str
    keyset: dict[str, str]

    @classmethod
    def here(cls, wanted: Any, timeout: float | None, key: str | None, name: str) -> _Pause:
        scope, verb = current_scope(), "suspend" if name == SUSPENDED else "pause"
        if scope is None or scope.run.kind is not Kind.FLOW:
            raise NoActiveRunError(f"There is no flow here to {verb}: call it in a flow, and not in a task.")
        if home.reporting() is None:
            message = f"A flow that no server hears of cannot {verb}: nobody could resume it. Deploy it."
            raise NoActiveRunError(message)
        if timeout is not None and not timeout > 0:
            message = f"timeout must be a number of seconds above 0, or None for no end, got {timeout!r}"
            raise InvalidInputError(message, field="timeout")
        started = scope.around.started
        assert started is not None, "a flow run has begun"
        key = key or started.position(verb)
        base = f"{name.lower()}-{key}-{uuid4().hex[:8]}"
        keyset = {"response": f"{base}-response", "schema": f"{base}-schema"}
        return cls(scope=scope, wanted=wanted, timeout=timeout, key=key, name=name, keyset=keyset)

    def state(self) -> ProposedState:
        ends = None if self.timeout is None else clock.now() + timedelta(seconds=self.timeout)
        details = StateDetails(
            flow_run_id=self.scope.run.id,
            pause_timeout=ends,
            pause_reschedule=self.name == SUSPENDED,
            pause_key=self.key,
            run_input_keyset=self.keyset if self.wanted is not None else None,
            transition_id=uuid4(),
        )
        return propose(StateType.PAUSED, name=self.name, details=details)


def _pause(pause: _Pause) -> Question[Any]:
    run = pause.scope.run
    if not (yield from _enter(pause)):
        return (yield from _earlier(pause))
    run.log.info("Flow run is paused. Resume it with: %s", _command(pause))
    now = yield from until(run.id, _goes_on, None)
    if now.state_type is StateType.RUNNING:
        run.log.info("Flow run is resumed.")
        return (yield from _answer(pause, pause.keyset))
    message = (now.state.message if now.state else None) or f"it is {now.state_name}"
    if now.state_type is StateType.FAILED:
        raise PauseTimedOutError(message)
    raise RunStopped(f"Flow run '{run.name}' ends in its pause: {message}")


def _suspend(pause: _Pause) -> Question[Any]:
    run = pause.scope.run
    if not (yield from _enter(pause)):
        return (yield from _earlier(pause))
    raise RunStopped(f"Flow run '{run.name}' is suspended. Resume it with: {_command(pause)}")


def _command(pause: _Pause) -> str:
    """Return what resumes the run, with what must be given."""
    needed = () if pause.wanted is None else _schema(pause.wanted).get("required", ())
    return " ".join((f"reeve runs resume {pause.scope.run.id}", *(f"-P {name}=…" for name in needed)))


def _enter(pause: _Pause) -> Question[bool]:
    """Have the run paused; False when somebody has ended this very pause before."""
    run, state = pause.scope.run, pause.state()
    if pause.wanted is not None:  # before the state: who sees it paused may ask for the schema at once
        schema = codec.encode(_schema(pause.wanted)).decode()
        body = requests.FlowRunInputCreate(key=pause.keyset["schema"], value=schema)
        yield from ask(endpoints.create_input, body, id=run.id)
    assert state.details.transition_id is not None, "it was just given"
    told = requests.StateCreate(
        type=state.type, name=state.name, message=state.message, state_details=state.details
    )
    verdict = yield from ask(endpoints.set_flow_run_state, requests.SetState(state=told), id=run.id)
    said = read_answer(verdict, state.details.transition_id, state)
    if isinstance(said, Accepted):
        return True
    if pause.wanted is not None:
        yield from ask(endpoints.delete_input, id=run.id, key=pause.keyset["schema"])
    if isinstance(said, Rejected) and said.state.type is StateType.RUNNING:
        return False
    if isinstance(said, Aborted):
        raise RunAbortedError(f"Flow run '{run.name}' cannot pause here: {said.reason}")
    raise RunStopped(f"Flow run '{run.name}' ends where it was to pause: {said.reason}")


def _earlier(pause: _Pause) -> Question[Any]:
    """Return what was given when this pause was ended, in an earlier process or try."""
    states = yield from ask(endpoints.flow_run_states, query={"flow_run_id": pause.scope.run.id})
    keysets = [
        one.state_details.run_input_keyset
        for one in states
        if one.type is StateType.PAUSED and one.state_details.pause_key == pause.key
    ]
    return (yield from _answer(pause, keysets[-1] if keysets else None))


def _answer(pause: _Pause, keyset: Mapping[str, str] | None) -> Question[Any]:
    wanted = pause.wanted
    if wanted is None:
        return None
    given: Any = {}
    if keyset is not None:
        try:
            text = yield from ask(endpoints.read_input, id=pause.scope.run.id, key=keyset["response"])
        except NotFoundError:  # resumed without any: the defaults are meant
            pass
        else:
            given = codec.decode(text, dict[str, Any])
    try:
        return convert(given if _is_mapping(wanted) else given.get(_VALUE), wanted)
    except (msgspec.ValidationError, ValueError) as error:  # pydantic's is a ValueError
        why = "" if holds_secret(wanted) else f": {error}"  # pydantic's words quote what was given
        message = f"The input of the {pause.name.lower()} flow must be {describe(wanted)}{why}"
        raise InvalidInputError(message, field="run_input") from None


def _check(run_id: UUID, keyset: Mapping[str, str], given: dict[str, Any]) -> Question[None]:
    """Raise InvalidInputError for what a paused run could not read."""
    from reeve.core.parameters import check_parameters  # JSON Schema costs 50 ms

    try:
        text = yield from ask(endpoints.read_input, id=run_id, key=keyset["schema"])
    except (NotFoundError, KeyError):
        return  # a 2.20 client may leave it a moment later
    check_parameters(codec.decode(text, dict[str, Any]), given)


def _goes_on(run: responses.FlowRunResponse) -> bool:
    return run.state_type is StateType.RUNNING or (run.state_type is not None and run.state_type.is_final)


def _is_mapping(wanted: Any) -> bool:
    kinds = ("__dataclass_fields__", "__struct_fields__", "model_json_schema", "__total__")
    return any(hasattr(wanted, kind) for kind in kinds)


def _schema(wanted: Any) -> dict[str, Any]:
    """Return the JSON Schema of what is waited for, always one of an object."""
    if hasattr(wanted, "model_json_schema"):  # pydantic
        described: dict[str, Any] = wanted.model_json_schema(ref_template="#/definitions/{model}")
        if inner := described.pop("$defs", None):
            described["definitions"] = inner
        return described
    shown, used = type_schema(wanted)
    name = getattr(wanted, "__name__", "Input")
    if _is_mapping(wanted):
        own: dict[str, Any] = used.pop(name, shown)
    else:
        own = {
            "title": name,
            "type": "object",
            "properties": {_VALUE: {"title": "Value", **shown}},
            "required": [_VALUE],
        }
    return {**own, "definitions": used} if used else own
