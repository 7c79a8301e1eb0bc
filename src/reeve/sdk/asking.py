"""What user code asks of a server, written once: a question is a generator of calls.

Two shells ask it: on this thread, or beside an event loop on a thread of its own. (The loop's own pool of
threads would do for short calls, but a few that wait for other runs would hold up all reports of states.)
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Coroutine, Generator, Mapping
from dataclasses import dataclass, field
from functools import wraps
from inspect import signature
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeAlias, TypeVar

from reeve.sdk import home
from reeve.sdk.futures import in_event_loop

if TYPE_CHECKING:
    from reeve.client.sync import Client
    from reeve.wire.endpoints.table import Endpoint

P = ParamSpec("P")
Req = TypeVar("Req")
Res = TypeVar("Res")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Ask(Generic[Req, Res]):
    """An effect: one call → its answer. The fields are the arguments of ``Client.call``.

    ``patient``: whether plain code too waits for a server that is away.
    """

    endpoint: Endpoint[Req, Res]
    body: Req | None = None
    path: Mapping[str, object] = field(default_factory=dict)
    query: Mapping[str, object] | None = None
    timeout: float | None = None
    patient: bool = False


Question: TypeAlias = Generator[Ask[Any, Any], Any, T]


def ask(
    endpoint: Endpoint[Req, Res],
    body: Req | None = None,
    *,
    query: Mapping[str, object] | None = None,
    timeout: float | None = None,
    patient: bool = False,
    **path: object,
) -> Question[Res]:
    """Have a question ask for one operation; the arguments are those of ``Client.call``."""
    answer: Res = yield Ask(endpoint, body, path, query, timeout, patient)
    return answer


def answer(question: Question[T]) -> T:
    """Ask a question on this thread and return its answer."""
    try:
        effect = next(question)
        while True:
            try:
                reply = _call(home.client(patient=effect.patient), home.catching_up(), effect)
            except Exception as error:  # noqa: BLE001  # the question decides, it raises what it does not know
                effect = question.throw(error)
            else:
                effect = question.send(reply)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]  # StopIteration forgets the question's type


async def answer_on_loop(question: Question[T]) -> T:
    """Ask a question without holding the event loop up, and return its answer."""
    try:
        effect = next(question)
        while True:
            try:
                reply = await beside(_call, home.client(patient=effect.patient), home.catching_up(), effect)
            except Exception as error:  # noqa: BLE001  # as above
                effect = question.throw(error)
            else:
                effect = question.send(reply)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]  # as above


async def beside(work: Callable[..., T], *args: Any) -> T:
    """Do ``work`` on a thread of its own while the event loop goes on; who is cancelled leaves it alone."""
    import asyncio

    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def settle(value: T | None, error: BaseException | None) -> None:
        if done.cancelled():
            return
        if error is None:
            done.set_result(value)  # type: ignore[arg-type]  # a value, since there is no error
        else:
            done.set_exception(error)

    def run() -> None:
        outcome: tuple[T | None, BaseException | None]
        try:
            outcome = work(*args), None
        except BaseException as error:  # noqa: BLE001  # it belongs to whoever waits
            outcome = None, error
        if not loop.is_closed():
            loop.call_soon_threadsafe(settle, *outcome)

    threading.Thread(target=run, name="reeve-question", daemon=True).start()
    return await done


def both(
    question: Callable[P, Question[T]],
) -> tuple[Callable[P, T], Callable[P, Coroutine[Any, Any, T]]]:
    """Make a question two public functions of its name: a plain one, and a coroutine with an ``a`` in front.

    In an event loop the plain one returns the coroutine too, as 2.20's functions do: awaited or not, a
    program that is ported keeps its calls.
    """

    @wraps(question)
    async def on_loop(*args: P.args, **kwargs: P.kwargs) -> T:
        return await answer_on_loop(question(*args, **kwargs))

    @wraps(question)
    def plain(*args: P.args, **kwargs: P.kwargs) -> T:
        if in_event_loop():
            return on_loop(*args, **kwargs)  # type: ignore[return-value]  # see the docstring
        return answer(question(*args, **kwargs))

    name = question.__name__.lstrip("_")
    shown = signature(question)
    returned = str(shown.return_annotation).removeprefix("Question[").removesuffix("]")
    for function, public in ((plain, name), (on_loop, f"a{name}")):
        function.__name__, function.__qualname__ = public, public
        vars(function)["__signature__"] = shown.replace(return_annotation=returned)
    return plain, on_loop


def _call(client: Client, catch_up: Callable[[], None], effect: Ask[Any, Any]) -> Any:
    catch_up()
    return client.call(
        effect.endpoint, effect.body, query=effect.query, timeout=effect.timeout, **effect.path
    )
