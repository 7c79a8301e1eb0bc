"""How a notification leaves the house: one sender for each kind of block that can hold its address.

Whoever may write a block chooses where the server connects to. Private and local addresses are refused
unless a setting allows them: what listens there often trusts whoever can reach it.
"""

from __future__ import annotations

import asyncio
import smtplib
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping
from email.message import EmailMessage
from functools import cache
from ipaddress import IPv6Address, ip_address
from typing import Any
from urllib.parse import urlsplit

from msgspec import Struct

from reeve.errors import ReeveError

SECONDS = 10.0  # for a receiver to take a message
SMTP_PORTS = {"SSL": 465, "STARTTLS": 587, "INSECURE": 25}


class NotSentError(ReeveError):
    """The notification could not be sent."""

    code = "not_sent"


class Message(Struct, frozen=True):
    """What is said."""

    subject: str
    body: str


Sender = Callable[[Mapping[str, Any], Message, bool], Awaitable[None]]


async def send(slug: str, data: Mapping[str, Any], message: Message, *, private: bool) -> None:
    """Send a message to where a block document says.

    ``slug`` is the block type's, ``data`` the document's with its secrets, ``private`` allows addresses of
    this network, if the document does so too. Raises NotSentError, whose words are fit for a log.
    """
    sender = SENDERS.get(slug)
    if sender is None:
        raise NotSentError(f"Blocks of type {slug!r} take no notifications; these do: {', '.join(SENDERS)}.")
    await sender(data, message, private and data.get("allow_private_urls") is not False)


async def _slack(data: Mapping[str, Any], message: Message, private: bool) -> None:
    await _request("POST", _text(data, "url"), {"text": message.body}, {}, private)


async def _webhook(data: Mapping[str, Any], message: Message, private: bool) -> None:
    content = {"subject": message.subject, "body": message.body}
    headers = {str(name): str(value) for name, value in (data.get("headers") or {}).items()}
    await _request(data.get("method") or "POST", _text(data, "url"), content, headers, private)


async def _email(data: Mapping[str, Any], message: Message, private: bool) -> None:
    kind = data.get("smtp_type") or "SSL"
    if kind not in SMTP_PORTS:
        raise NotSentError(f"'smtp_type' is {kind!r}; it must be one of {', '.join(SMTP_PORTS)}.")
    host, port = _text(data, "smtp_server"), int(data.get("smtp_port") or SMTP_PORTS[kind])
    await _address(host, port, private)
    receivers = data.get("email_to") or []
    mail = EmailMessage()
    mail["Subject"] = message.subject
    mail["From"] = _text(data, "email_from")
    mail["To"] = receivers if isinstance(receivers, str) else ", ".join(receivers)
    mail.set_content(message.body)
    login = (data.get("username"), data.get("password"))
    try:
        await asyncio.to_thread(_deliver, kind, host, port, login, mail)
    except (OSError, smtplib.SMTPException) as error:
        raise NotSentError(f"The mail server {host} did not take it: {type(error).__name__}.") from error


SENDERS: dict[str, Sender] = {"slack-webhook": _slack, "webhook": _webhook, "email": _email}


def _deliver(kind: str, host: str, port: int, login: tuple[Any, Any], mail: EmailMessage) -> None:
    context = ssl.create_default_context()
    with (
        smtplib.SMTP_SSL(host, port, timeout=SECONDS, context=context)
        if kind == "SSL"
        else smtplib.SMTP(host, port, timeout=SECONDS)
    ) as server:
        if kind == "STARTTLS":
            server.starttls(context=context)
        if login[0]:
            server.login(*map(str, login))
        server.send_message(mail)


async def _request(method: str, url: str, content: Any, headers: Mapping[str, str], private: bool) -> None:
    """Make a request of the very address that was looked at: a name may mean another one a moment later."""
    import httpx2

    target = urlsplit(url)
    host = target.hostname
    if target.scheme not in {"http", "https"} or host is None:
        raise NotSentError("The block's 'url' must begin with http:// or https:// and name a host.")
    address = await _address(host, target.port or {"http": 80, "https": 443}[target.scheme], private)
    shown = f"[{address}]" if ":" in address else address
    netloc = shown if target.port is None else f"{shown}:{target.port}"
    try:
        trusted = await asyncio.to_thread(_trusted)
        async with httpx2.AsyncClient(timeout=SECONDS, trust_env=False, verify=trusted) as client:
            answer = await client.request(
                method,
                target._replace(netloc=netloc).geturl(),
                json=content,
                headers={**headers, "Host": target.netloc.rpartition("@")[2]},
                extensions={"sni_hostname": host},
            )
    except httpx2.HTTPError as error:
        raise NotSentError(f"{host} cannot be reached: {type(error).__name__}.") from error
    if not answer.is_success:
        raise NotSentError(f"{host} answered {answer.status_code}.")


@cache
def _trusted() -> ssl.SSLContext:
    """Return whom we trust, read once: it takes 80 ms, for which no loop is to wait."""
    import httpx2

    return httpx2.create_ssl_context(trust_env=False)


async def _address(host: str, port: int, private: bool) -> str:
    """Return an address of a host; raises NotSentError when it has none, or one that is not to be reached."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise NotSentError(f"{host} has no address: {error.strerror}.") from None
    addresses = [str(entry[4][0]) for entry in found]
    if not private and not all(map(_is_public, addresses)):
        raise NotSentError(
            f"{host} is an address of a private network. Set REEVE_NOTIFY_PRIVATE_ADDRESSES=true for the "
            "server if notifications may go there, and leave 'allow_private_urls' of the block on."
        )
    return addresses[0]


def _is_public(text: str) -> bool:
    address = ip_address(text)
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return address.is_global and not address.is_multicast


def _text(data: Mapping[str, Any], name: str) -> str:
    value = data.get(name)
    if not isinstance(value, str) or not value:
        raise NotSentError(f"The block has no {name!r}.")
    return value
