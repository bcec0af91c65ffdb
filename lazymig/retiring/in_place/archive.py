"""A copy of V1's own fields, taken beside the running service: of each document as it was when it was read."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from attrs import evolve

from lazymig.control.retirement import Archive, RetirementRecord, RetirementStage
from lazymig.errors import LazymigError, PhaseError
from lazymig.retiring.archives import FILE, exists, name_archive, read_digest, split_target, write
from lazymig.retiring.disposal import ARCHIVE
from lazymig.retiring.in_place.ground import PlaceGround, check_step_in_place, list_v1_names
from lazymig.stores.archives import ArchivedFields, Digest
from lazymig.stores.documents import OWN_FIELDS
from lazymig.stores.moving_away import Removable
from lazymig.stores.records import Document

V1 = TypeVar("V1")
V2 = TypeVar("V2")

#: Behind the name of a collection that is not complete.
_PART = "_lazymig_part"


async def archive(ground: PlaceGround[V1, V2], record: RetirementRecord, into: str | Path) -> RetirementRecord:
    """Copy `_id` and V1's own fields, and verify the copy. One that was cut off starts over."""
    check_step_in_place(record, ARCHIVE, RetirementStage.SERVING)
    asked = name_archive(into, ground.whole.place.partition(".")[0])
    known = record.archive
    if known is not None and known.digest is not None:
        if known.target == asked.target:
            return record
        raise PhaseError(f"archive: V1's fields are archived already, in {known.target}")
    if record.doing != ARCHIVE or known != asked:
        if await exists(ground.whole, asked):
            raise PhaseError(f"archive: {asked.target} exists; name another place, or remove it")
        record = await ground.begin(record, ARCHIVE, archive=asked)
    digest = await _copy(ground, asked)
    said = f"archived V1's fields of {digest.count:,} documents in {asked.target}"
    return await ground.end(record, said, archive=evolve(asked, digest=digest))


async def check_archive(ground: PlaceGround[V1, V2], record: RetirementRecord) -> None:
    """Raise `PhaseError` where there is an archive that is not what it was. A file may have been moved since."""
    known = record.archive
    if known is None or known.digest is None:
        return
    if not await exists(ground.whole, known):
        if known.kind != FILE and known.digest.count:  # a collection of nothing was never made
            raise PhaseError(f"reduce: the archive {known.target} is gone")
    elif await read_digest(ground.whole, known) != known.digest:
        raise PhaseError(f"reduce: the archive {known.target} has changed since it was verified")


async def _copy(ground: PlaceGround[V1, V2], asked: Archive) -> Digest:
    """Make the copy, and return its digest. Raises `LazymigError` where it is not what was read."""
    source, whole = _open_source(ground), ground.whole
    part = evolve(asked, target=asked.target + _PART)
    if asked.kind == FILE:
        held = await write(source, Path(asked.target))
        found = await read_digest(whole, asked)
    else:
        held = await source.copy_part_into(*split_target(part))
        found = await read_digest(whole, part)
    if found != held:
        raise LazymigError(
            f"archive: {asked.target} holds {found.count:,} documents, and {held.count:,} were read, or their bytes "
            "differ; nothing is changed. Archive again"
        )
    if asked.kind != FILE and held.count:
        await _open(ground, asked).drop()  # what a run left that was cut off behind its last step
        await _open(ground, part).rename(split_target(asked)[1])
    return held


def _open(ground: PlaceGround[V1, V2], asked: Archive) -> Removable:
    return Removable(ground.whole.elsewhere(*split_target(asked)))


def _open_source(ground: PlaceGround[V1, V2]) -> ArchivedFields:
    names, shape = list_v1_names(ground.shape), ground.shape
    if names is None:
        left_out = (OWN_FIELDS | shape.v2_own) - {"_id"}
        return ArchivedFields(ground.place.store, {}, dict.fromkeys(left_out, 0))
    where: Document = {"$or": [{name: {"$exists": True}} for name in names]} if names else {"_id": {"$in": []}}
    return ArchivedFields(ground.place.store, where, {"_id": 1, **dict.fromkeys(names, 1)})
