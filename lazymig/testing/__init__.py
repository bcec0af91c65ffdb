"""Test tools: a real server, the in-memory repository, the laws and the explorer.

Names are imported at their first use. Pytest loads this package's plugin in every run of every project that has lazymig
installed, and most of those runs need nothing of it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from lazymig.errors import ConfigurationError

if TYPE_CHECKING:
    from lazymig.testing.law import LawBroken as LawBroken
    from lazymig.testing.laws import assert_laws as assert_laws
    from lazymig.testing.memory import memory_repository as memory_repository
    from lazymig.testing.mongod import Mongod as Mongod
    from lazymig.testing.mongod import ServerFailed as ServerFailed
    from lazymig.testing.mongod import ServerMissing as ServerMissing
    from lazymig.testing.samples import documents_like as documents_like
    from lazymig.testing.samples import sample_documents as sample_documents
    from lazymig.testing.server import ReplicaSet as ReplicaSet
    from lazymig.testing.server import Server as Server
    from lazymig.testing.strategies import entities as entities

_HOMES = {
    "LawBroken": "laws",
    "Mongod": "mongod",
    "ReplicaSet": "server",
    "Server": "server",
    "ServerFailed": "mongod",
    "ServerMissing": "mongod",
    "assert_laws": "laws",
    "documents_like": "samples",
    "entities": "strategies",
    "memory_repository": "memory",
    "sample_documents": "samples",
}

#: Packages of `lazymig[testing]`.
_EXTRAS = {"hypothesis", "mongomock", "mongomock_motor", "pytest", "pytest_asyncio", "sentinels"}


class ExtraMissing(ConfigurationError, ImportError):
    """A package that only tests need is not installed: pip install 'lazymig[testing]'."""


def extra_missing(what: str, package: str | None) -> ExtraMissing:
    """Return the error for an import that needs a package which is not installed.

    Args:
        what: What cannot be imported.
        package: The missing package.

    Returns:
        The error to raise.
    """
    missing = ExtraMissing(f"{what} needs {package}, which is not installed: pip install 'lazymig[testing]'")
    missing.name = package
    return missing


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        home = import_module(f"{__name__}.{_HOMES[name]}")
    except ImportError as error:
        if (error.name or "").partition(".")[0] not in _EXTRAS:
            raise
        raise extra_missing(f"lazymig.testing.{name}", error.name) from None
    return getattr(home, name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
