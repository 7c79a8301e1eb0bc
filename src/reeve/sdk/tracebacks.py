"""Tracebacks as the user wants them: the user's own lines, not those of reeve."""

from __future__ import annotations

import importlib
import os
import traceback
from contextlib import suppress

_OURS = (
    os.path.dirname(os.path.dirname(__file__)) + os.sep,  # noqa: PTH120  # pathlib costs each start 5 ms
    importlib.__file__,
    "<frozen importlib",
)


def came_from_elsewhere(error: BaseException, places: str) -> None:
    """Have an error that was raised in another process be written out as it was there."""
    with suppress(AttributeError):  # an error may have no room for it
        error.__reeve_places__ = places  # type: ignore[attr-defined]  # of ours


def of_user_code(error: BaseException) -> str:
    """Write out an error with its causes, without the frames of reeve and of the import system."""
    elsewhere: str | None = getattr(error, "__reeve_places__", None)
    if elsewhere is not None:
        return elsewhere
    told = traceback.TracebackException.from_exception(error)
    _strip(told)
    return "".join(told.format()).rstrip()


def from_user_code(error: Exception) -> Exception:
    """Have an error's traceback begin with the user's first line: what called that is reeve's own affair."""
    place = error.__traceback__
    while place is not None and place.tb_frame.f_code.co_filename.startswith(_OURS):
        place = place.tb_next
    return error if place is None else error.with_traceback(place)  # one of reeve itself keeps its lines


def _strip(told: traceback.TracebackException) -> None:
    users = [frame for frame in told.stack if not frame.filename.startswith(_OURS)]
    names_its_line = hasattr(told, "lineno")  # only a SyntaxError does
    if users or names_its_line:  # an error of reeve itself keeps its lines
        told.stack = traceback.StackSummary.from_list(users)
    for other in (told.__cause__, told.__context__, *(told.exceptions or ())):
        if other is not None:
            _strip(other)
