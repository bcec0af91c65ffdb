"""A server on this machine alone answers only to the names of this machine.

A page elsewhere can let a name of its own lead to 127.0.0.1, and a browser here would then let it read what this server
answers. Such a request names that page's host.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from ipaddress import ip_address

from attrs import frozen
from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

#: The names of this machine for itself.
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


@frozen
class OwnHosts:
    """An ASGI application that refuses requests for other hosts than these."""

    app: ASGIApp
    hosts: AbstractSet[str] = LOOPBACK

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] == "http" and read_host(Headers(scope=scope).get("host", "")) not in self.hosts:
            refused = PlainTextResponse("This server answers to the names of this machine only.\n", 421)
            await refused(scope, receive, send)
            return
        await self.app(scope, receive, send)


def read_host(header: str) -> str:
    """Return the host that a request names, without its port."""
    host = header.strip().lower()
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.rpartition(":")[0] if ":" in host else host


def is_loopback(host: str) -> bool:
    """Whether nobody but this machine reaches an address."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower() in LOOPBACK
