"""The one root of reeve's errors. Each has a stable ``code``; its docstring is the default message."""

from __future__ import annotations

from collections.abc import Mapping
from inspect import cleandoc


class ReeveError(Exception):
    """Something went wrong in reeve."""

    code = "reeve_error"

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or cleandoc(self.__doc__ or ""))

    @property
    def message(self) -> str:
        """The sentence for the user: what is wrong and what to do."""
        return str(self)


class InvalidInputError(ReeveError):
    """A value given by the user cannot be used."""

    code = "invalid_input"

    def __init__(self, message: str | None = None, *, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


class InvalidFieldsError(InvalidInputError):
    """Several values given by the user cannot be used; ``faults``: what is wrong, by field."""

    def __init__(self, faults: Mapping[str, str]) -> None:
        super().__init__(" ".join(faults.values()), field=next(iter(faults)))
        self.faults = faults


class NotFoundError(ReeveError):
    """There is no such object."""

    code = "not_found"


class ConflictError(ReeveError):
    """The request contradicts what is stored."""

    code = "conflict"


class ForbiddenError(ReeveError):
    """This key may not do that."""

    code = "forbidden"


class ReservedError(ForbiddenError):
    """Prefect 2.20 keeps this for itself, and refuses it in the same words."""


class AttemptSupersededError(ForbiddenError):
    """This attempt is over: another attempt of the run holds the right to report. End this process."""

    code = "attempt_superseded"


class UnauthorizedError(ReeveError):
    """The server wants a key. Set REEVE_API_KEY, or use the machine and user that started the server."""

    code = "unauthorized"


class UnavailableError(ReeveError):
    """The server cannot answer just now; the same request can be repeated."""

    code = "unavailable"
