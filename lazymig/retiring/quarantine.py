"""V1 into quarantine and back: another name, under which no program finds it."""

from __future__ import annotations

from typing import TypeVar

from attrs import evolve

from lazymig.control.retirement import RetirementRecord, RetirementStage
from lazymig.errors import PhaseError
from lazymig.retiring.disposal import ARCHIVE
from lazymig.retiring.ground import Ground, check_step
from lazymig.stores.moving_away import Removable

V1 = TypeVar("V1")
V2 = TypeVar("V2")

QUARANTINE, RESTORE = "quarantine", "restore"


def check_quarantine(record: RetirementRecord) -> None:
    """Raise `PhaseError` unless V1 may be put into quarantine."""
    check_step(record, QUARANTINE, RetirementStage.SERVING)


async def quarantine(ground: Ground[V1, V2], record: RetirementRecord) -> RetirementRecord:
    """Give V1 another name, with its indexes and its validator. Goes on where an earlier run was interrupted."""
    if record.doing != QUARANTINE:
        identity = await ground.v1.identify()
        if identity is None:  # somebody has dropped it
            return await ground.end(record, "found no V1", v1=ground.v1.place, stage=RetirementStage.DROPPED)
        name = await _choose_name(ground)
        record = await ground.begin(record, QUARANTINE, v1=ground.v1.place, identity=identity, quarantine=name)
    await _move(ground.v1, ground.in_quarantine(record), record)
    said = f"{record.v1} renamed to {record.quarantine}"
    return await ground.end(record, said, stage=RetirementStage.QUARANTINED)


async def restore(ground: Ground[V1, V2], record: RetirementRecord) -> RetirementRecord:
    """Give V1 its name back. Raises `PhaseError` where a collection has that name by now.

    An archive that has begun is given up: it changes nothing of V1, and may fail for as long as a disk is full.
    """
    check_step(evolve(record, doing="") if record.doing == ARCHIVE else record, RESTORE, RetirementStage.QUARANTINED)
    if record.doing != RESTORE:
        if await ground.v1.identify() is not None:
            raise PhaseError(
                f"restore: {record.v1} exists again, because a program wrote it; save what it holds and drop it first"
            )
        record = await ground.begin(record, RESTORE, archive=None)
    await _move(ground.in_quarantine(record), ground.v1, record)
    said = f"{record.quarantine} renamed back to {record.v1}"
    return await ground.end(record, said, stage=RetirementStage.SERVING, archive=None)


async def _choose_name(ground: Ground[V1, V2]) -> str:
    first = f"{ground.v1.name}_lazymig_quarantine_{ground.clock.now():%Y%m%d}"
    name, number = first, 1
    while await Removable(ground.v1.named(name)).identify() is not None:
        number += 1
        name = f"{first}_{number}"
    return name


async def _move(source: Removable, target: Removable, record: RetirementRecord) -> None:
    """Rename the collection that was recorded, unless that is done."""
    if await target.identify() == record.identity:
        return
    if await source.identify() == record.identity and await source.rename(target.name):
        return
    if await target.identify() != record.identity:  # another process may have done it just now
        raise PhaseError(
            f"{record.doing}: V1 is neither {source.place} nor {target.place}, or another collection has that "
            "name; look at what these are, and rename V1 by hand"
        )
