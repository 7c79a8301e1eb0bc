"""Variables: texts by name that all flows of a server share."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any, TypeVar, overload

from reeve.client.calls import ServerTimeoutError, ServerUnreachableError
from reeve.core.names import check_variable
from reeve.errors import ConflictError, InvalidInputError, NotFoundError
from reeve.sdk import home
from reeve.sdk.asking import Question, answer, answer_on_loop, ask
from reeve.sdk.futures import in_event_loop
from reeve.wire import endpoints, requests

D = TypeVar("D")

_NOTHING: Any = object()  # None is a default like any other


class Variable:
    """Texts by name on the server: configuration and small facts that outlive a run.

    A name is lower-case letters, digits and underscores, 255 at most; a value has 5000 characters at most.
    In an event loop ``get`` and ``set`` return what is to be awaited; ``aget`` and ``aset`` always do.
    """

    @overload
    @staticmethod
    def get(name: str) -> str: ...
    @overload
    @staticmethod
    def get(name: str, default: D) -> str | D: ...
    @staticmethod
    def get(name: str, default: Any = _NOTHING) -> Any:
        """Return the value of a variable, or ``default`` where there is none.

        Without a default NotFoundError says how to set it. Plain Python that finds no server takes the
        default too, with a warning; a run that a server hears of waits for it instead.
        """
        question = _get(name, default)
        return answer_on_loop(question) if in_event_loop() else answer(question)

    @overload
    @staticmethod
    async def aget(name: str) -> str: ...
    @overload
    @staticmethod
    async def aget(name: str, default: D) -> str | D: ...
    @staticmethod
    async def aget(name: str, default: Any = _NOTHING) -> Any:
        """Do as ``get``, in an event loop."""
        return await answer_on_loop(_get(name, default))

    @staticmethod
    def set(name: str, value: str, tags: Iterable[str] = (), *, overwrite: bool = False) -> None:
        """Give a variable a value and tags.

        Raises ConflictError when it has another one and ``overwrite`` is not set, InvalidInputError for a
        name or a value that cannot be used.
        """
        question = _set(name, value, tags, overwrite=overwrite)
        return answer_on_loop(question) if in_event_loop() else answer(question)  # type: ignore[return-value]  # as 2.20

    @staticmethod
    async def aset(name: str, value: str, tags: Iterable[str] = (), *, overwrite: bool = False) -> None:
        """Do as ``set``, in an event loop."""
        await answer_on_loop(_set(name, value, tags, overwrite=overwrite))


def _get(name: str, default: Any) -> Question[Any]:
    try:
        found = yield from ask(endpoints.read_variable, name=name)
    except NotFoundError:
        if default is not _NOTHING:
            return default
        message = f"There is no variable {name!r}. Set it with: reeve variables set {name} VALUE"
        raise NotFoundError(message) from None
    except (ServerUnreachableError, ServerTimeoutError) as error:
        if default is _NOTHING or home.reporting() is not None:
            raise
        logging.getLogger("reeve.variables").warning("Variable '%s' is its default: %s", name, error)
        return default
    return found.value


def _set(name: str, value: object, tags: Iterable[str], *, overwrite: bool) -> Question[None]:
    if not isinstance(value, str):
        message = (
            f"The value of variable {name!r} must be a text, got {value!r}. Write it as one, say as JSON"
        )
        raise InvalidInputError(message, field="value")
    check_variable(name)
    wanted = sorted(set(tags))
    try:
        yield from ask(
            endpoints.create_variable, requests.VariableCreate(name=name, value=value, tags=wanted)
        )
    except ConflictError:
        if overwrite:
            change = requests.VariableUpdate(value=value, tags=wanted)
            yield from ask(endpoints.update_variable, change, name=name)
            return
        known = yield from ask(endpoints.read_variable, name=name)
        if known.value != value:  # else it is ours: the answer to a first request was lost on the way
            message = f"Variable {name!r} has a value already; overwrite=True replaces it."
            raise ConflictError(message) from None
