"""Who may come in: keys and tokens, and the names under which the server is called (protocol §11).

Loopback is a door too: others use the machine, and a web page can have its own name resolve to it.
"""

from __future__ import annotations

import contextlib
import hmac
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit
from uuid import UUID

from reeve.errors import ForbiddenError, UnauthorizedError
from reeve.server.services.context import Principal
from reeve.server.services.tokens import PREFIX, attempt_of
from reeve.wire.endpoints import Door

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
OPERATOR = Principal()
NOBODY = Principal(attempt_id=UUID(int=0))  # may do what an attempt of no run may do: nothing


@dataclass(frozen=True, slots=True)
class Doors:
    """The doors of one server. ``key`` None: open, whoever comes is an operator. ``hosts``: its names."""

    key: str | None
    secret: bytes
    hosts: frozenset[str]

    @classmethod
    def of(cls, *, key: str | None, secret: bytes, hosts: Iterable[str] = ()) -> Doors:
        """Build the doors; ``hosts`` are the bound host and the names allowed besides loopback's."""
        return cls(key, secret, frozenset(host.lower().strip("[]") for host in hosts))

    def check_names(self, headers: Mapping[bytes, bytes]) -> None:
        """Raise ForbiddenError for a request that was meant for another name, or comes from another page."""
        netloc = headers.get(b"host", b"").decode("latin-1").lower()
        host = _hostname(netloc)
        if host not in LOOPBACK | self.hosts and not _is_address(host):
            raise ForbiddenError(
                f"This server does not answer to the name {host!r}. "
                f"Set REEVE_ALLOWED_HOSTS={host or 'NAME'} for the server if it should."
            )
        origin = headers.get(b"origin")
        if origin is None:
            return
        page = urlsplit(origin.decode("latin-1").lower()).netloc
        if page != netloc and _hostname(page) not in self.hosts:
            raise ForbiddenError(
                f"Pages of {origin.decode('latin-1')!r} may not call this server. "
                "Set REEVE_ALLOWED_HOSTS to the page's host for the server if they should."
            )

    def admit(self, door: Door, headers: Mapping[bytes, bytes]) -> Principal:
        """Say who asks; raises UnauthorizedError without a key, ForbiddenError for a run's at this door."""
        principal = self._principal(headers)
        if door is Door.ANYONE:
            return principal or NOBODY
        if principal is None:
            raise UnauthorizedError
        if door is Door.OPERATOR and not principal.is_operator:
            raise ForbiddenError("The key of a run cannot do this; it takes the key of the server's home.")
        return principal

    def _principal(self, headers: Mapping[bytes, bytes]) -> Principal | None:
        scheme, _, shown = headers.get(b"authorization", b"").decode("latin-1").partition(" ")
        shown = shown.strip() if scheme.lower() == "bearer" else ""
        if shown.startswith(PREFIX):
            attempt_id = attempt_of(self.secret, shown)
            return None if attempt_id is None else Principal(attempt_id)
        if self.key is None or hmac.compare_digest(shown.encode("latin-1"), self.key.encode()):
            return OPERATOR
        return None


def _is_address(host: str) -> bool:
    """Say whether a host is written in digits: nobody else can make that resolve to this machine."""
    with contextlib.suppress(ValueError):
        return bool(ip_address(host))
    return False


def _hostname(netloc: str) -> str:
    """Return a host without its port, and without the brackets of IPv6."""
    try:
        return urlsplit(f"//{netloc}").hostname or ""
    except ValueError:
        return ""
