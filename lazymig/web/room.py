"""What all requests of one application share: which migrations, who may act, and the looks at them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeAlias

from attrs import define, field
from starlette.exceptions import HTTPException
from starlette.requests import Request

from lazymig.errors import ConfigurationError
from lazymig.status.looking import AnyRepository
from lazymig.switching.case import Demands
from lazymig.web.actions.errands import Errands
from lazymig.web.pulse import Pulse
from lazymig.web.snapshot import look_up
from lazymig.web.source import Shown, find_repositories

#: Returns the name of whoever sends a request, if they may do this; None if they may not.
Authorize: TypeAlias = Callable[[Request, str], str | Awaitable[str | None] | None]


@define(eq=False)
class Room:
    """One application's migrations, rights and looks."""

    shown: Shown | Callable[[], Shown]
    authorize: Authorize | None = field(kw_only=True)
    soak_s: float = field(kw_only=True)
    max_age_s: float = field(kw_only=True)
    refresh_s: float = field(kw_only=True)
    #: The actions that are under way in this process.
    errands: Errands = field(factory=Errands, init=False)
    _pulses: dict[str, Pulse] = field(factory=dict, init=False)

    def __attrs_post_init__(self) -> None:
        if self.refresh_s <= 0 or min(self.soak_s, self.max_age_s) < 0:
            raise ConfigurationError("refresh_s: seconds above 0; soak_s, max_age_s: 0 or more seconds")

    @property
    def names(self) -> list[str]:
        """The migrations, by their names."""
        return sorted(find_repositories(self.shown))

    def find(self, name: str) -> AnyRepository:
        """Return a migration's repository. Raises a 404 where this application shows no such migration."""
        found = find_repositories(self.shown).get(name)
        if found is None:
            raise HTTPException(404, "this page shows no migration of that name")
        return found

    def pulse(self, name: str) -> Pulse:
        """Return the looks at a migration: one `Pulse`, however many watch."""
        repository = self.find(name)
        pulse = self._pulses.get(name)
        if pulse is None or not pulse.is_of(repository):
            look = partial(look_up, repository, Demands(self.soak_s, self.max_age_s))
            pulse = self._pulses[name] = Pulse(repository, look, self.refresh_s)
        return pulse
