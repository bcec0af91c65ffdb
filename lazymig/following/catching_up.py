"""Catching up: both sides are verified and repaired as a whole where changes may have gone by unseen.

The new position is taken first. What changed before it, the verification finds; what changes later, the stream shows,
and it is followed meanwhile, so that a verification of hours loses no position.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from lazymig.control import Passes
from lazymig.control.following import CatchUp, Claim, Following
from lazymig.loop.clock import Clock
from lazymig.stores.events import Token


class Verified(Protocol):
    """The report of a verification."""

    @property
    def finished(self) -> bool:
        """Whether it was not stopped: every difference that it found was looked at again and repaired."""


class Verifying(Protocol):
    """A verification with repair, by one process."""

    def stop(self) -> None:
        """End the run soon; the next one continues."""

    async def run(self) -> Verified:
        """Verify both collections as a whole, and repair what differs."""


class CatchingUp:
    """The verification that is due after a position was unknown or lost."""

    def __init__(
        self, following: Following, passes: Passes, make: Callable[[], Verifying], claim: Claim, clock: Clock
    ) -> None:
        #: What is due; None where nothing is.
        self.due = claim.catch_up
        self._following = following
        self._passes = passes
        self._make = make
        self._claim = claim
        self._clock = clock
        self._running: Verifying | None = None
        self._stopped = False

    async def begin(self, token: Token, reason: str) -> bool:
        """Record a position that was just taken, and that a verification is due. False: taken over."""
        current = await self._passes.current()
        # A pass that is under way looked at its first documents before the position was taken.
        due = CatchUp(reason, self._clock.now(), 0 if current is None else int(current["number"]))
        if not await self._following.begin_catch_up(self._claim, token, due):
            return False
        self.due = due
        return True

    async def run(self) -> None:
        """Verify until a pass that began after the position is finished, or until stopped: then it stays due."""
        while (due := self.due) is not None and not self._stopped:
            self._running = self._make()
            finished = (await self._running.run()).finished
            current = await self._passes.current()
            # The pass's number alone does not do: what was found is repaired after the pass is completed.
            if finished and current is not None and int(current.get("completed", 0)) > due.after_pass:
                await self._following.end_catch_up(self._claim, due)
                if self.due is due:  # otherwise the position was lost once more
                    self.due = None

    def stop(self) -> None:
        """End the verification soon."""
        self._stopped = True
        if self._running is not None:
            self._running.stop()
