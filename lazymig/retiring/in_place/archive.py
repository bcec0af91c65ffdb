"""A copy of V1's own fields, taken beside the running service: of each document as it was when it was read."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TypeVar

from attrs import evolve

from lazymig.control.retirement import Archive, RetirementRecord, RetirementStage
from lazymig.errors import LazymigError, PhaseError
from lazymig.retiring.disposal import ARCHIVE, name_archive
from lazymig.retiring.in_place.ground import PlaceGround, check_step_in_place, list_v1_names
from lazymig.stores.archives import Archived, ArchivedFields, Digest, digest_file
from lazymig.stores.documents import OWN_FIELDS
from lazymig.stores.moving_away import Removable
from lazymig.stores.records import Document

V1 = TypeVar("V1")
V2 = TypeVar("V2")

_FILE = "file"
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
        if await _exists(ground, asked):
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
    if not await _exists(ground, known):
        if known.kind != _FILE:
            raise PhaseError(f"reduce: the archive {known.target} is gone")
    elif await _digest(ground, known) != known.digest:
        raise PhaseError(f"reduce: the archive {known.target} has changed since it was verified")


async def _exists(ground: PlaceGround[V1, V2], asked: Archive) -> bool:
    if asked.kind == _FILE:
        return await asyncio.to_thread(Path(asked.target).exists)
    return await _collection_of(ground, asked).identify() is not None


def _collection_of(ground: PlaceGround[V1, V2], asked: Archive, part: str = "") -> Removable:
    database, _, name = asked.target.partition(".")
    return Removable(ground.whole.elsewhere(database, name + part))


async def _copy(ground: PlaceGround[V1, V2], asked: Archive) -> Digest:
    """Make the copy, and return its digest. Raises `LazymigError` where it is not what was read."""
    source = _open_source(ground)
    if asked.kind == _FILE:
        held = await _write(source, Path(asked.target))
        found = await _digest(ground, asked)
    else:
        database, _, name = asked.target.partition(".")
        held = await source.copy_part_into(database, name + _PART)
        part = _collection_of(ground, asked, _PART)
        found = await Archived(ground.whole.elsewhere(database, name + _PART)).digest()
    if found != held:
        raise LazymigError(
            f"archive: {asked.target} holds {found.count:,} documents, and {held.count:,} were read, or their bytes "
            "differ; nothing is changed. Archive again"
        )
    if asked.kind != _FILE and held.count:
        await _collection_of(ground, asked).drop()  # what a run left that was cut off behind its last step
        await part.rename(name)
    return held


def _open_source(ground: PlaceGround[V1, V2]) -> ArchivedFields:
    names, shape = list_v1_names(ground.shape), ground.shape
    if names is None:
        left_out = (OWN_FIELDS | shape.v2_own) - {"_id"}
        return ArchivedFields(ground.place.store, {}, dict.fromkeys(left_out, 0))
    where: Document = {"$or": [{name: {"$exists": True}} for name in names]} if names else {"_id": {"$in": []}}
    return ArchivedFields(ground.place.store, where, {"_id": 1, **dict.fromkeys(names, 1)})


async def _write(source: ArchivedFields, path: Path) -> Digest:
    try:
        return await source.write_to(path)
    except OSError as error:
        raise LazymigError(
            f"archive: {path} cannot be written ({error.strerror or type(error).__name__}); nothing is changed. "
            "Archive again, or name another place"
        ) from None


async def _digest(ground: PlaceGround[V1, V2], asked: Archive) -> Digest:
    if asked.kind != _FILE:
        database, _, name = asked.target.partition(".")
        return await Archived(ground.whole.elsewhere(database, name)).digest()
    try:
        return await digest_file(Path(asked.target))
    except (OSError, EOFError, ValueError) as error:
        raise LazymigError(
            f"archive: {asked.target} cannot be read as BSON documents ({type(error).__name__}); remove it, and "
            "archive again"
        ) from None
