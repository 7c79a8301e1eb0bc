"""From method and path to a route: a tree of segments, so that no route waits for the others."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from reeve.server.http.body import SUBSTITUTE
from reeve.server.http.request import Route, as_uuid


@dataclass(frozen=True, slots=True)
class Found:
    """The route of a request, and the parameters of its path as text."""

    route: Route
    names: tuple[str, ...]
    values: tuple[str, ...]

    def path(self) -> dict[str, Any]:
        """Return the parameters by name, ids as UUIDs; raises InvalidRequestError."""
        return {
            name: as_uuid(value, "path", name) if name == "id" or name.endswith("_id") else value
            for name, value in zip(self.names, self.values, strict=True)
        }


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """The path exists with the other trailing slash (api-contract §1)."""

    path: str


@dataclass(frozen=True, slots=True)
class WrongMethod:
    """The path exists for these methods."""

    allowed: tuple[str, ...]


@dataclass(slots=True)
class _Node:
    children: dict[str, _Node] = field(default_factory=dict)
    parameter: _Node | None = None
    end: tuple[Route, tuple[str, ...]] | None = None


class Router:
    """Finds routes. A trailing slash is an empty last segment; a parameter is never empty."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._methods: dict[str, _Node] = {}
        for route in routes:
            self._add(route)

    def find(self, method: str, path: str) -> Found | Elsewhere | WrongMethod | None:
        """Look up a path, still percent-encoded, that begins with a slash."""
        segments = tuple(path[1:].split("/"))
        root = self._methods.get(method)
        if root is not None and (found := _walk(root, segments, ())):
            return found
        if allowed := self._allowed(segments):
            return WrongMethod(allowed)
        other = path.removesuffix("/") if path.endswith("/") else f"{path}/"
        return Elsewhere(other) if self._allowed(tuple(other[1:].split("/"))) else None

    def _allowed(self, segments: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(method for method, root in self._methods.items() if _walk(root, segments, ()))

    def _add(self, route: Route) -> None:
        node = self._methods.setdefault(route.endpoint.method, _Node())
        names: list[str] = []
        for segment in route.endpoint.path[1:].split("/"):
            if segment.startswith("{"):
                names.append(segment[1:-1])
                node.parameter = node.parameter or _Node()
                node = node.parameter
            else:
                node = node.children.setdefault(segment, _Node())
        assert node.end is None, f"{route.endpoint.name} has the path of {node.end}"
        node.end = (route, tuple(names))


def _walk(node: _Node, segments: tuple[str, ...], values: tuple[str, ...]) -> Found | None:
    """Follow segments, named ones before parameters."""
    if not segments:
        return Found(*node.end, values) if node.end else None
    first, rest = segments[0], segments[1:]
    if (named := node.children.get(first)) and (found := _walk(named, rest, values)):
        return found
    if node.parameter is None or not first:
        return None
    return _walk(node.parameter, rest, (*values, unquote(first).replace("\x00", SUBSTITUTE)))
