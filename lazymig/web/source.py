"""Which migrations a page is about: those that were passed, or those that follow a control collection."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TypeAlias

from lazymig.control import Control
from lazymig.control.attached import attached_to
from lazymig.errors import ConfigurationError
from lazymig.repository import Repository, repository_over
from lazymig.routes.calls import Calls
from lazymig.status.looking import AnyRepository

#: What `app` takes: the control collection that this process's repositories follow, or the repositories themselves.
Shown: TypeAlias = Control | AnyRepository | Iterable[AnyRepository]


def keep(shown: Shown | Callable[[], Shown]) -> Shown | Callable[[], Shown]:
    """Return what is shown so that each request can read it: what yields repositories may do so once only."""
    if callable(shown) or isinstance(shown, (Control, Repository)):
        return shown
    return tuple(shown)


def find_repositories(shown: Shown | Callable[[], Shown]) -> Mapping[str, AnyRepository]:
    """Return the repositories by the names of their migrations. Each request asks: a function may make them late.

    Raises:
        ConfigurationError: If there is none, or if two have one name.
    """
    if callable(shown):
        shown = shown()
    if isinstance(shown, Control):
        shown = [repository_over(calls) for calls in attached_to(shown).values() if isinstance(calls, Calls)]
    found = [shown] if isinstance(shown, Repository) else list(shown)
    if not found:
        raise ConfigurationError(
            "no repository of this process follows this control collection: make it with phase=control before the "
            "page is opened, or pass the repository to lazymig.web.app"
        )
    by_name = {one.migration.name: one for one in found}
    if len(by_name) != len(found):
        raise ConfigurationError("two repositories have migrations of one name: pass each migration once")
    return by_name
