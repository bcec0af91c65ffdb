"""The record that V2 may have missed writes, made before the first of them."""

from __future__ import annotations

from typing import Final

from lazymig.control.phases import Phases, Standing
from lazymig.errors import PhaseError
from lazymig.loop.clock import Clock
from lazymig.phases import Phase

#: The names in the settings of a phase's record: whether writes may go to V1 alone (False, "announced" or True), and
#: since when some have.
DEGRADE, SUSPECT_SINCE = "degrade", "suspect_since"
_TRIES: Final = 10


class Suspicion:
    """Records, once for as long as the settings stand, that writes go to V1 alone."""

    def __init__(self, phases: Phases, clock: Clock, standing: Standing) -> None:
        self._phases = phases
        self._clock = clock
        # Where it stood before and writes may not go to V1 alone now, it is asked for again.
        self._recorded = standing.settings.get(SUSPECT_SINCE) is not None and standing.settings.get(DEGRADE) is True

    async def record(self) -> None:
        """Return once it is recorded, durably. Raises `PhaseError` where writes may not go to V1 alone any more.

        It is taken back only after every process has acknowledged that they may not. So what was recorded once holds
        for this process as long as it works by these settings.
        """
        if self._recorded:
            return
        for _ in range(_TRIES):
            standing = await self._phases.find()
            # Only once every process takes nothing from V2 for granted.
            if standing is None or standing.phase is not Phase.SHADOW or standing.settings.get(DEGRADE) is not True:
                raise PhaseError("V2 cannot be reached, and writes may not go to V1 alone now")
            recorded = standing.settings.get(SUSPECT_SINCE) is not None
            if not recorded:
                changed = {SUSPECT_SINCE: self._clock.now()}
                recorded = await self._phases.change(standing, hold=standing.hold, settings=changed) is not None
            if recorded:
                self._recorded = True
                return
        raise PhaseError("V2 cannot be reached, and the phase's record keeps changing; call again")
