"""What all requests of one application share: which migrations, who may act, and the looks at them."""

from __future__ import annotations

import asyncio
from asyncio import AbstractEventLoop
from collections.abc import Callable
from functools import partial
from weakref import WeakKeyDictionary

from attrs import define, field
from starlette.exceptions import HTTPException

from lazymig.errors import ConfigurationError
from lazymig.status.looking import AnyRepository
from lazymig.switching.case import Demands
from lazymig.web.actions.errands import Errands
from lazymig.web.actions.guards import Authorize
from lazymig.web.panels import Panels, Render
from lazymig.web.paths import slug
from lazymig.web.pulse import Pulse
from lazymig.web.rendering import render_panels
from lazymig.web.snapshot import look_up
from lazymig.web.source import Shown, find_repositories


@define(eq=False)
class Room:
    """One application's migrations, rights and looks."""

    shown: Shown | Callable[[], Shown]
    authorize: Authorize | None = field(kw_only=True)
    soak_s: float = field(kw_only=True)
    max_age_s: float = field(kw_only=True)
    refresh_s: float = field(kw_only=True)
    render: Render = field(default=render_panels, kw_only=True)
    #: The actions that are under way in this process.
    errands: Errands = field(factory=Errands, init=False)
    _shows: WeakKeyDictionary[AbstractEventLoop, dict[str, _Show]] = field(factory=WeakKeyDictionary, init=False)

    def __attrs_post_init__(self) -> None:
        if self.refresh_s <= 0 or min(self.soak_s, self.max_age_s) < 0:
            raise ConfigurationError("refresh_s: seconds above 0; soak_s, max_age_s: 0 or more seconds")

    @property
    def names(self) -> list[str]:
        """The migrations, by their names."""
        return sorted(find_repositories(self.shown))

    def find(self, name: str) -> AnyRepository:
        """Return a migration's repository, by its name as a part of a path.

        Raises a 404 where this application shows no such migration.
        """
        for known, repository in find_repositories(self.shown).items():
            if slug(known) == name:
                return repository
        raise HTTPException(404, "This page shows no migration of that name.")

    def pulse(self, name: str) -> Pulse:
        """Return the looks at a migration: one `Pulse`, however many watch. Raises as `find` does."""
        return self._show(name).pulse

    def panels(self, name: str) -> Panels:
        """Return the panels of a migration's newest snapshot. Raises as `find` does."""
        return self._show(name).panels

    def _show(self, name: str) -> _Show:
        repository = self.find(name)
        # A client belongs to one event loop, and so does whatever waits for it.
        shows = self._shows.setdefault(asyncio.get_running_loop(), {})
        show = shows.get(name)
        if show is None or not show.pulse.is_of(repository):
            look = partial(look_up, repository, Demands(self.soak_s, self.max_age_s))
            show = shows[name] = _Show(Pulse(repository, look, self.refresh_s), Panels(self.render))
        return show


@define(eq=False)
class _Show:
    """What all who watch one migration share."""

    pulse: Pulse
    panels: Panels
