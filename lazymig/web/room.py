"""What all requests of one application share: which migrations, who may act, and the looks at them."""

from __future__ import annotations

import asyncio
from asyncio import AbstractEventLoop
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial

from attrs import define, evolve, field, frozen
from pymongo.errors import PyMongoError
from starlette.exceptions import HTTPException

from lazymig.errors import ConfigurationError, LazymigError
from lazymig.loop.deadline import Deadline
from lazymig.repository import calls_of, repository_over
from lazymig.status.looking import AnyRepository
from lazymig.switching.case import Demands
from lazymig.web.actions.errands import Errands, find_shown
from lazymig.web.actions.hook import Authorize
from lazymig.web.actions.offers import find_offers
from lazymig.web.beside import Beside
from lazymig.web.looks import look_up
from lazymig.web.panels import Panels
from lazymig.web.paths import Paths, slug
from lazymig.web.pulse import Pulse
from lazymig.web.snapshot import Snapshot
from lazymig.web.source import Shown, find_repositories, keep
from lazymig.web.view.panels import render_panels

#: Seconds for which an answer waits for a look at what was just changed. The page goes on to look.
_RENEWED_S = 2.0


@define(eq=False)
class Room:
    """One application's migrations, rights and looks."""

    shown: Shown | Callable[[], Shown] = field(converter=keep)
    authorize: Authorize | None = field(kw_only=True)
    soak_s: float = field(kw_only=True)
    max_age_s: float = field(kw_only=True)
    refresh_s: float = field(kw_only=True)
    #: The actions that are under way in this process.
    errands: Errands = field(factory=Errands, init=False)
    _shows: dict[AbstractEventLoop, dict[str, _Show]] = field(factory=dict, init=False)

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

    async def renew(self, name: str) -> None:
        """Look a migration up again at once, since something was changed. What fails then, the page shows."""
        with suppress(PyMongoError, LazymigError):
            async with Deadline(_RENEWED_S):
                await self.pulse(name).renew()

    def end(self) -> None:
        """Let all who watch come to their end, since the server stops."""
        for shows in self._shows.values():
            for show in shows.values():
                show.pulse.end()

    def _show(self, name: str) -> _Show:
        calls = calls_of(self.find(name))
        shows = self._find_shows()
        show = shows.get(name)
        if show is None or show.calls is not calls:
            if show is not None:
                show.pulse.end()  # those who watch it connect again, and see the repository that took its place
            clock = calls.options.clock
            pulse = Pulse(partial(self._look, repository_over(calls), Beside(clock)), self.refresh_s, clock)
            show = shows[name] = _Show(calls, pulse, Panels(self._render))
        return show

    async def _look(self, repository: AnyRepository, beside: Beside, before: Snapshot | None) -> Snapshot:
        found = await look_up(repository, Demands(self.soak_s, self.max_age_s), before, beside)
        return self._with_errand(found)

    def _with_errand(self, found: Snapshot) -> Snapshot:
        errand = find_shown(self.errands.find(found.status.migration), found.acts, found.status.at)
        # As it is now: it goes on, and a snapshot does not.
        return found if errand is None else evolve(found, errand=evolve(errand, lines=list(errand.lines)))

    def _render(self, snapshot: Snapshot, paths: Paths) -> Mapping[str, str]:
        if snapshot.trouble:  # then it is of an earlier moment, and this process knows what was ordered since
            snapshot = self._with_errand(snapshot)
        return render_panels(snapshot, paths, find_offers(snapshot, acts=self.authorize is not None))

    def _find_shows(self) -> dict[str, _Show]:
        """Return what is shown in this event loop: a client belongs to one, and so does what waits for its answers."""
        for loop in [loop for loop in list(self._shows) if loop.is_closed()]:
            self._shows.pop(loop, None)  # another thread may have done it
        return self._shows.setdefault(asyncio.get_running_loop(), {})


@frozen
class _Show:
    """What all who watch one migration share."""

    calls: object
    pulse: Pulse
    panels: Panels
