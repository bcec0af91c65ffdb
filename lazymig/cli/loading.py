"""From `module:attribute` to an open repository, and its clients closed again."""

from __future__ import annotations

import inspect
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from lazymig.cli.failures import Unusable
from lazymig.drivers import Driver, driver_of, settled
from lazymig.errors import ConfigurationError
from lazymig.repository import Repository


@asynccontextmanager
async def opened(app: str) -> AsyncIterator[Repository[Any, Any]]:
    """The repository that `app` names; its queue is drained and both its clients are closed afterwards.

    A function is called inside the running event loop, where async clients belong. Raises `Unusable` for a malformed
    name, `ConfigurationError` where nothing usable stands behind it.
    """
    repository = await made(app)
    try:
        async with repository:
            yield repository
    finally:
        await _close(repository)


def _attribute(app: str) -> Any:
    module, colon, path = app.partition(":")
    if not (module and colon and path):
        raise Unusable("--app: name it as module:attribute, such as shop.migrations:repository")
    value = _module(module, app)
    for name in path.split("."):
        try:
            value = getattr(value, name)
        except AttributeError:
            raise ConfigurationError(f"--app {app}: module {module} has no attribute {path}") from None
    return value


def _module(name: str, app: str) -> Any:
    folder = str(Path.cwd())
    if folder not in sys.path:
        sys.path.insert(0, folder)  # a console script, unlike python -m, does not look where it is run
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise  # the module is there, and misses something itself
        raise ConfigurationError(
            f"--app {app}: no module {error.name}; run this where it can be imported, or set PYTHONPATH"
        ) from None


async def made(app: str) -> Repository[Any, Any]:
    """A repository that `app` names, for this event loop; the caller closes its clients."""
    value = _attribute(app)
    if not isinstance(value, Repository) and callable(value):
        value = value()
        if inspect.isawaitable(value):
            value = await value
    if not isinstance(value, Repository):
        raise ConfigurationError(
            f"--app {app}: found {type(value).__name__}; name a lazymig.Repository or a function that returns one"
        )
    return value


async def _close(repository: Repository[Any, Any]) -> None:
    collections = repository.pair.v1.collection, repository.pair.v2.collection
    clients = [one.database.client for one in collections if driver_of(one) is not Driver.MEMORY]
    for client in {id(client): client for client in clients}.values():
        await settled(client.close())
