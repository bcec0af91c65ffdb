"""V1's end where entities are parts of documents: their fields go, batch by batch, and the documents stay."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from attrs import evolve

from lazymig.control.retirement import RetirementRecord, RetirementStage
from lazymig.errors import ConfigurationError, PhaseError
from lazymig.passes.throttle import Limits, Throttle
from lazymig.retiring.disposal import DROP, check_archive
from lazymig.retiring.ground import Ground, check_step
from lazymig.stores.decoding import Unreadable
from lazymig.stores.documents import raw_id
from lazymig.stores.field_removal import FieldRemoval
from lazymig.stores.given import RawId
from lazymig.stores.keyset import BY_ID
from lazymig.stores.raw import decode_for_id
from lazymig.stores.scans import Scan

V1 = TypeVar("V1")
V2 = TypeVar("V2")

#: Documents per batch.
_BATCH = 1000
#: How often the collection is read from its beginning. What is left after that is being written.
_PASSES_MAX = 5


def check_whole(ground: Ground[V1, V2], step: str) -> None:
    """Raise `PhaseError` where V1 is a part of documents, so that nobody may take the collection away."""
    if ground.is_part:
        raise PhaseError(
            f"{step}: V1's documents hold other fields as well, so the collection keeps its name; lazymig retire "
            f"archive copies {ground.describe_fields()}, and lazymig retire drop removes them"
        )


def check_removal(ground: Ground[V1, V2], record: RetirementRecord, confirm: str) -> None:
    """Raise `PhaseError` unless the fields may be removed now, `ConfigurationError` unless it was confirmed by name."""
    check_step(record, DROP, RetirementStage.SERVING)
    if confirm != ground.name:
        raise ConfigurationError(f"drop: this cannot be undone; confirm it by the migration's name, {ground.name}")


async def remove_fields(ground: Ground[V1, V2], record: RetirementRecord) -> RetirementRecord:
    """Remove the fields, from where an earlier run was interrupted. The record says so where this one is stopped.

    Raises `PhaseError` where programs go on writing the fields.
    """
    if record.doing != DROP:
        await check_archive(ground, record)
        record = await ground.begin(record, DROP, v1=ground.v1.place, position=())
    removal = FieldRemoval(ground.pair.v1)
    scan = Scan(ground.v1.named(ground.v1.name))  # all documents: some hold a revision and no entity any more
    retirements = ground.parts.retirement(ground.name)
    throttle = Throttle(ground.pair.v1, Limits(batch_size=_BATCH), ground.stopping, ground.clock)
    position, passes = record.position, 1
    while await throttle.wait_for_page():
        ids = await _find_page(scan, removal, position)
        if not ids and not position:
            said = f"{ground.describe_fields()} removed from {ground.v1.place}"
            return await ground.end(record, said, stage=RetirementStage.DROPPED, position=())
        if not ids:  # read it once more from the beginning: programs may have written behind this
            position, passes = (), passes + 1
            if passes > _PASSES_MAX:
                raise PhaseError(
                    f"drop: programs go on writing {ground.describe_fields()}; find them by lazymig retire watch and "
                    "stop them, then run lazymig retire drop again"
                )
            continue
        await removal.remove(ids)
        position = tuple(ids[-1:])
        if not isinstance(ids[-1], Unreadable):  # which no row can hold; the next page records the place
            record = await retirements.save(record, evolve(record, position=position), by=ground.by, what="")
    return record


async def _find_page(scan: Scan, removal: FieldRemoval, position: Sequence[RawId]) -> list[RawId]:
    where = {"$and": [scan.after(BY_ID, {"_id": position[0]}), removal.left]} if position else removal.left
    return [raw_id(decode_for_id(found)["_id"]) for found in await scan.find_ids(where, _BATCH)]
