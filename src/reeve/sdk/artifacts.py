"""Artifacts: what a run leaves for people to look at. Types and data are those of 2.20's page."""

from __future__ import annotations

import base64
import logging
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias
from uuid import UUID

import msgspec

from reeve.core.names import check_key
from reeve.errors import InvalidInputError
from reeve.sdk import home
from reeve.sdk.asking import Question, ask, both
from reeve.sdk.context import current_scope
from reeve.wire import endpoints, requests

Table: TypeAlias = Mapping[str, Sequence[Any]] | Sequence[Mapping[str, Any]] | Sequence[Sequence[Any]]

_SHOWN = 200  # characters of an artifact that a log line without a server repeats
_SHOWN_LINES = 21  # of a table, its head among them


def _create_markdown_artifact(
    markdown: str, key: str | None = None, description: str | None = None
) -> Question[UUID | None]:
    """Leave a text in Markdown.

    ``key`` (lower-case letters, digits, dashes) makes artifacts of several runs the versions of one.
    Returns the artifact's id; None, and a line in the log, in a run that no server hears of. Outside of a
    run the server of the settings keeps it. Raises InvalidInputError for a key that cannot be one.
    """
    return (yield from _create("markdown", markdown, key, description))


def _create_link_artifact(
    link: str, link_text: str | None = None, key: str | None = None, description: str | None = None
) -> Question[UUID | None]:
    """Leave a link, shown as ``link_text``; see ``create_markdown_artifact``."""
    return (yield from _create("markdown", f"[{link_text or link}]({link})", key, description))


def _create_table_artifact(
    table: Table, key: str | None = None, description: str | None = None
) -> Question[UUID | None]:
    """Leave a table: rows as mappings or as lists, or columns by name; see ``create_markdown_artifact``.

    Values that JSON has no words for are shown as ``str`` shows them.
    """
    data = msgspec.json.encode(table, enc_hook=str).decode()
    return (yield from _create("table", data, key, description))


def _create_image_artifact(
    image: str, key: str | None = None, description: str | None = None
) -> Question[UUID | None]:
    """Leave an image: its URL, or the text of an SVG; see ``create_markdown_artifact``."""
    return (yield from _create("image", _image_url(image), key, description))


def _create_progress_artifact(
    progress: float, key: str | None = None, description: str | None = None
) -> Question[UUID | None]:
    """Leave a bar of ``progress`` per cent, 0 to 100; move it with ``update_progress_artifact``.

    See ``create_markdown_artifact``.
    """
    return (yield from _create("progress", _per_cent(progress), key, description))


def _update_progress_artifact(
    artifact_id: UUID | None, progress: float, description: str | None = None
) -> Question[None]:
    """Move a bar to ``progress`` per cent.

    An ``artifact_id`` of None is what a run without a server was given: the log is told. Raises
    NotFoundError for an artifact that is not there.
    """
    value = _per_cent(progress)
    if artifact_id is None:
        _log(logging.INFO, "Progress: %g %%.", value)
        return
    change = requests.ArtifactUpdate(
        data=value, description=msgspec.UNSET if description is None else description
    )
    yield from ask(endpoints.update_artifact, change, id=artifact_id)


def _create(type_: str, data: Any, key: str | None, description: str | None) -> Question[UUID | None]:
    if key is not None:
        check_key("Artifact key", key, "key")
    scope = current_scope()
    if scope is not None and home.reporting() is None:
        shown = _shown_table(data) if type_ == "table" else _shown(str(data))
        _log(logging.INFO, "Artifact%s (%s), kept by no server:%s", f" '{key}'" * bool(key), type_, shown)
        return None
    made = yield from ask(
        endpoints.create_artifact,
        requests.ArtifactCreate(
            key=key,
            type=type_,
            description=description,
            data=data,
            flow_run_id=scope.around.flow_run_id if scope else None,
            task_run_id=scope.run.id if scope and scope.task_name is not None else None,
        ),
    )
    return made.id


def _shown(text: str) -> str:
    return f" {text}" if len(text) <= _SHOWN else f" {text[:_SHOWN]}…"


def _shown_table(data: str) -> str:
    from reeve.core.tables import as_text, read_table  # runs with a server do without

    table = read_table(data)
    if table is None or not table.rows:
        return _shown(data)
    lines = as_text(table)
    rest = len(lines) - _SHOWN_LINES
    return "\n".join(["", *lines[:_SHOWN_LINES], *[f"… and {rest} more"] * (rest > 0)])


def _image_url(image: str) -> str:
    text = image.lstrip()
    if text.startswith(("<svg", "<?xml", "<!--", "<!DOCTYPE")):
        # As an image and not as part of the page: what an SVG brings along as a script does not run.
        return f"data:image/svg+xml;base64,{base64.b64encode(text.encode()).decode()}"
    if not text.startswith(("http://", "https://", "data:image/")):
        raise InvalidInputError(
            f"image must be a URL (https://…, data:image/…) or the text of an SVG, got {text[:60]!r}",
            field="image",
        )
    return text


def _per_cent(progress: float) -> float:
    if not progress == progress:  # noqa: PLR0124  # only NaN differs from itself
        raise InvalidInputError("progress must be a number from 0 to 100, got nan", field="progress")
    value = min(max(float(progress), 0.0), 100.0)
    if value != progress:
        _log(logging.WARNING, "A progress of %g %% is shown as %g %%.", progress, value)
    return value


def _log(level: int, message: str, *args: Any) -> None:
    scope = current_scope()
    (scope.run.log if scope else logging.getLogger("reeve.artifacts")).log(level, message, *args)


create_markdown_artifact, acreate_markdown_artifact = both(_create_markdown_artifact)
create_link_artifact, acreate_link_artifact = both(_create_link_artifact)
create_table_artifact, acreate_table_artifact = both(_create_table_artifact)
create_image_artifact, acreate_image_artifact = both(_create_image_artifact)
create_progress_artifact, acreate_progress_artifact = both(_create_progress_artifact)
update_progress_artifact, aupdate_progress_artifact = both(_update_progress_artifact)
