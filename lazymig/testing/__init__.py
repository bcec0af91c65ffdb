"""For tests: a real server, the in-memory repository, laws and the explorer.

Names are looked up when first used, because pytest loads the plugin of this package in every run of every project that
has lazymig installed, and most of those runs need none of it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lazymig.testing.memory import memory_repository as memory_repository
    from lazymig.testing.mongod import ServerFailed as ServerFailed
    from lazymig.testing.mongod import ServerMissing as ServerMissing
    from lazymig.testing.server import ReplicaSet as ReplicaSet
    from lazymig.testing.server import Server as Server

_HOMES = {
    "ReplicaSet": "server",
    "Server": "server",
    "ServerFailed": "mongod",
    "ServerMissing": "mongod",
    "memory_repository": "memory",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
