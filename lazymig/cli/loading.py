"""Open the repository that `module:attribute` names, and close its clients again."""

from __future__ import annotations

import inspect
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from lazymig.cli.failures import Unusable
from lazymig.cli.reaching import reach
from lazymig.errors import LazymigError
from lazymig.repository import Repository, calls_of
from lazymig.stores.clients import Client, clients_of


class Quit(LazymigError):
    """The application called sys.exit() instead of returning a repository; nothing was done."""


@asynccontextmanager
async def opened(app: str, *, in_json: bool = False, reaching: bool = True) -> AsyncIterator[Repository[Any, Any]]:
    """Open the repository that `app` names; drain its queue and close its clients afterwards.

    Args:
        app: `module:attribute`. A function is called inside the running event loop, where async clients belong.
        in_json: Report a wait for a server as JSON.
        reaching: Wait until each server answers. Without it, nothing is sent.

    Raises:
        Unusable: The name leads to no repository.
        PyMongoError: A server did not answer within ten seconds.
    """
    repository = await made(app)
    try:
        for client in _clients(repository) if reaching else ():
            await reach(client, in_json=in_json)
        async with repository:
            yield repository
    finally:
        for client in _clients(repository):
            await client.close()


async def made(app: str) -> Repository[Any, Any]:
    """Return the repository that `app` names, for this event loop; the caller closes its clients."""
    try:
        value = find_attribute(app)
        if not isinstance(value, Repository) and callable(value):
            _check_call(app, value)
            value = value()
            if inspect.isawaitable(value):
                value = await value
    except SystemExit as left:
        # Its code may be 0, which would mean success.
        raise Quit(f"--app {app}: the application called sys.exit({left.code!r}); nothing was done") from None
    if not isinstance(value, Repository):
        raise Unusable(
            f"--app {app}: found {type(value).__name__}; name a lazymig.Repository or a function that returns one"
        )
    return value


def find_attribute(text: str, option: str = "--app", example: str = "shop.migrations:repository") -> Any:
    """Return what `module:attribute` names, the value of this option. Raises `Unusable` where there is nothing."""
    module, colon, path = text.partition(":")
    if not (module and colon and path):
        raise Unusable(f"{option}: name it as module:attribute, such as {example}")
    if not all(module.split(".")) or module.endswith(".py") or set(module) & set("/\\ "):
        raise Unusable(
            f"{option} {text}: {module} is no module name; write it as in an import, such as "
            f"{example.partition(':')[0]}, and run this in the folder that holds it"
        )
    value = _module(module, f"{option} {text}")
    for name in path.split("."):
        try:
            value = getattr(value, name)
        except AttributeError:
            raise Unusable(f"{option} {text}: module {module} has no attribute {path}") from None
    return value


def _module(name: str, given: str) -> Any:
    folder = str(Path.cwd())
    if folder not in sys.path:
        sys.path.insert(0, folder)  # unlike python -m, a console script does not search the present folder
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise  # the module exists, but an import inside it fails
        raise Unusable(
            f"{given}: no module {error.name}; run this where it can be imported, or set PYTHONPATH"
        ) from None


def _check_call(app: str, function: Callable[..., Any]) -> None:
    try:
        inspect.signature(function).bind()
    except TypeError as error:
        raise Unusable(
            f"--app {app}: it cannot be called without arguments ({error}); name a function without any"
        ) from None
    except ValueError:
        pass  # a built-in without a signature: the call will show


def _clients(repository: Repository[Any, Any]) -> list[Client]:
    """Return the clients of all collections, each once; none where they are in memory."""
    return clients_of(*calls_of(repository).stores)
