"""Switching on and off that writes go to V1 alone while V2 is away. Each waits until the whole fleet has followed."""

from __future__ import annotations

from lazymig.control import DEGRADE, SUSPECT_SINCE, Note, Phases, Standing
from lazymig.errors import PhaseError
from lazymig.loop.clock import Clock
from lazymig.phases import Phase
from lazymig.switching.waiting import RollCall


async def allow_degrading(
    phases: Phases, standing: Standing, roll: RollCall, wait_s: float, *, by: str = "", why: str = ""
) -> Standing:
    """Let writes go to V1 alone while V2 is away; the record keeps who did it and why.

    Raises `PhaseError` outside of `shadow`.
    """
    if standing.phase is not Phase.SHADOW:
        raise PhaseError(
            f"writes may go to V1 alone only in shadow, where V1 alone answers; this migration is in {standing.phase}"
        )
    # A process that is still in coexist would answer from a V2 that misses a write, and one that does not know yet that
    # V2 may miss some would decide a write by what V2 holds.
    await roll.wait(standing.epoch, at_most_s=wait_s)
    announced = await _change(phases, standing, {DEGRADE: "announced"}, Note(by, why, "on-outage degrade"))
    await roll.wait(announced.epoch, at_most_s=wait_s)
    return await _change(phases, announced, {DEGRADE: True})


async def forbid_degrading(
    phases: Phases, standing: Standing, roll: RollCall, clock: Clock, wait_s: float, *, by: str = "", why: str = ""
) -> Standing:
    """Let no write go to V1 alone any more, and return the record once every process has acknowledged that.

    What a verification compared before that moment says nothing, so V2 is suspect from then on, if it was at all. The
    record keeps who did it and why.
    """
    if not standing.settings.get(DEGRADE):
        return standing
    # Not yet False: where this process dies here, V2 must not look verified by what was compared until now.
    changed = await _change(phases, standing, {DEGRADE: "announced"}, Note(by, why, "on-outage fail"))
    await roll.wait(changed.epoch, at_most_s=wait_s)
    # As it is now: a process may have recorded something while it worked by the settings before.
    found = await phases.find()
    if found is None or found.settings.get(DEGRADE) != "announced":
        raise PhaseError("the phase's record has changed meanwhile: look at lazymig phase show, and try again")
    since = None if found.settings.get(SUSPECT_SINCE) is None else clock.now()
    return await _change(phases, found, {DEGRADE: False, SUSPECT_SINCE: since})


async def _change(
    phases: Phases, standing: Standing, settings: dict[str, object], note: Note | None = None
) -> Standing:
    changed = await phases.change(standing, hold=standing.hold, settings=settings, note=note)
    if changed is None:
        raise PhaseError("the phase's record has changed meanwhile: look at lazymig phase show, and try again")
    return changed
