"""The step into `v2_only`: the seal, with the record of the phase as what holds writes, and lets them go on."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Generic, TypeVar
from uuid import uuid4

from attrs import define, field, frozen

from lazymig.control import Moved, Phases, Standing
from lazymig.control.phases import Hold
from lazymig.errors import PhaseError
from lazymig.phases import Phase
from lazymig.protocol.pair import Pair
from lazymig.protocol.sealing import fences_of, lift, look, rehearse, seal
from lazymig.protocol.seals import Fences, Fleet, Seal, Terms
from lazymig.stores.fencing import Ability, Barrier
from lazymig.switching.case import AnyCase
from lazymig.switching.plan import Gate, cannot_check, opens
from lazymig.switching.waiting import SOON_S, RollCall

V1 = TypeVar("V1")
V2 = TypeVar("V2")

#: Seconds that processes may take until no write is in flight, once they hold new ones; and from then to the switch.
#: Together they are less than a process holds a write at most.
_DRAIN_S, _SEAL_S = 4.0, 5.0
#: Seconds for a look at whether a collection can be fenced. Other statements on it wait behind the look.
_REHEARSE_S = 0.5


async def can_be_sealed(case: AnyCase) -> Gate:
    """Both collections can be fenced, so that the server refuses what a process does that wakes up late."""
    fences = fences_of(case.pair)
    barriers = await (rehearse(fences, within_s=_REHEARSE_S) if case.thorough else look(fences))
    lacking = [barrier.why for barrier in barriers if barrier.lasting]
    if lacking:
        return cannot_check(
            "seal", "; ".join(lacking),
            "change that. Accepted, only leases keep out a process that wakes up late: make sure that none is paused",
        )  # fmt: skip
    if any(barrier.ability is Ability.BUSY for barrier in barriers):
        return opens("seal", "a transaction was open on a collection just now; the step tries again")
    what = "V2" if fences.v1 is None else "both collections"
    return opens("seal", f"{what} can be fenced, so that no process that wakes up late writes")


async def find_fences(pair: Pair[V1, V2], standing: Standing) -> tuple[Barrier, ...]:
    """Find the fences that stand although the phase needs none: an attempt that was cut off has left them."""
    if standing.phase is not Phase.V2_PRIMARY:
        return ()
    return tuple(barrier for barrier in await look(fences_of(pair)) if barrier.stands)


async def lift_fences(pair: Pair[V1, V2], found: Iterable[Barrier]) -> None:
    """Lift these fences, and none that another attempt has put up since. Raises `PhaseError` where one stays."""
    keys = {barrier.key for barrier in found}
    for key in sorted(keys):
        stuck = [barrier.why for barrier in await lift(fences_of(pair), key=key) if barrier.key == key]
        if stuck:
            raise PhaseError(f"{'; '.join(stuck)}. Try again: writes fail until it is lifted")


@frozen(kw_only=True)
class Intent:
    """What the switch records.

    Attributes:
        by: Who.
        why: The reason.
        leases_only: Whether a person accepted that a collection cannot be fenced.
        wait_s: How long processes may take to acknowledge that writes will be held soon.
    """

    by: str
    why: str
    leases_only: bool
    wait_s: float


@define
class Sealing(Generic[V1, V2]):
    """One attempt: what a seal asks of the fleet, as changes of the record, each a compare-and-set."""

    pair: Pair[V1, V2]
    phases: Phases
    roll: RollCall
    intent: Intent
    #: The record as this attempt left it last.
    standing: Standing
    moved: Moved | None = field(default=None, init=False)

    async def make(self, fences: Fences | None = None) -> tuple[Standing | None, Seal]:
        """Make the seal; return the record after the switch, None where it was not sealed, and what became of it."""
        terms = Terms(key=uuid4().hex, within_s=_SEAL_S, leases_only=self.intent.leases_only)
        fleet = Fleet(hold=self.hold, switch=self.switch, release=self.release)
        made = await seal(self.pair, fences or fences_of(self.pair), fleet, terms)
        return (self.standing if made.sealed else None), made

    async def hold(self) -> float:
        """Announce the hold, so that processes look often; hold writes; wait until none is in flight.

        Returns for how many seconds writes have been held.
        """
        await self._change("announced")
        try:
            await self.roll.wait(self.standing.epoch, at_most_s=self.intent.wait_s)
            await self._change("writes")
            since_s = self.pair.clock.monotonic()
            await self.roll.wait(self.standing.epoch, at_most_s=_DRAIN_S, look_s=SOON_S)
        except BaseException:
            await self.release()
            raise
        return self.pair.clock.monotonic() - since_s

    async def _change(self, hold: Hold) -> None:
        changed = await self.phases.change(self.standing, hold=hold)
        if changed is None:
            raise PhaseError("someone else has changed the record of the phase meanwhile; look at lazymig phase show")
        self.standing = changed

    async def switch(self) -> bool:
        """Record the phase `v2_only`, if nobody has changed the record since the hold."""
        moved = await self.phases.move(self.standing, Phase.V2_ONLY, by=self.intent.by, why=self.intent.why)
        if moved is None:
            return False
        self.standing, self.moved = moved, moved.last
        return True

    async def release(self) -> None:
        """Let writes go on. The switch has done so already; where someone has changed the record, so have they."""
        if self.moved is None:
            await self.phases.change(self.standing, hold=None)
