"""V1's copy, if one is wanted, and its end."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from attrs import evolve

from lazymig.control.retirement import Archive, RetirementRecord, RetirementStage
from lazymig.errors import ConfigurationError, LazymigError, PhaseError
from lazymig.retiring.archives import COLLECTION, FILE, exists, name_archive, read_digest, split_target, write
from lazymig.retiring.ground import Ground, check_step
from lazymig.stores.archives import Archived, Digest
from lazymig.stores.given import Store

V1 = TypeVar("V1")
V2 = TypeVar("V2")

ARCHIVE, DROP = "archive", "drop"


async def archive(ground: Ground[V1, V2], record: RetirementRecord, into: str | Path) -> RetirementRecord:
    """Copy V1 in quarantine, and verify the copy. Goes on, or starts over, where an earlier run was interrupted.

    Where entities are parts of documents, there is no quarantine, and their fields are copied.
    """
    check_step(record, ARCHIVE, RetirementStage.SERVING if ground.is_part else RetirementStage.QUARANTINED)
    asked = name_archive(into, ground.v1.place.partition(".")[0])
    known = record.archive
    if known is not None and known.digest is not None:
        if known.target == asked.target and not (ground.is_part and not await exists(ground.v1, known)):
            return record
        if not ground.is_part:  # where V1 is in use, an archive may be outdated
            raise PhaseError(f"archive: V1 is archived already, in {known.target}")
    if record.doing != ARCHIVE or known != asked:
        if await exists(ground.v1, asked):
            raise PhaseError(f"archive: {asked.target} exists; name another place, or remove it")
        record = await ground.begin(record, ARCHIVE, archive=asked, v1=ground.v1.place)
    digest = await _copy(ground, record, asked)
    return await ground.end(
        record, f"archived {digest.count:,} documents in {asked.target}", archive=evolve(asked, digest=digest)
    )


async def _copy(ground: Ground[V1, V2], record: RetirementRecord, asked: Archive) -> Digest:
    """Make the copy unless it is there, and return its digest. Raises `LazymigError` if it is not what V1 holds."""
    source = Archived(_source(ground, record))
    there = await exists(ground.v1, asked)  # complete: both kinds get their name in one step
    if asked.kind == FILE:
        held = await source.digest() if there else await write(source, Path(asked.target))
    else:
        held = await source.digest()
        if not there:
            await source.copy_into(*split_target(asked))
    found = await read_digest(ground.v1, asked)
    if found != held:
        raise LazymigError(
            f"archive: {asked.target} holds {found.count:,} documents and V1 {held.count:,}, or their bytes differ; V1 "
            "stays as it is. Remove that copy, and archive again"
        )
    return held


def _source(ground: Ground[V1, V2], record: RetirementRecord) -> Store:
    return ground.pair.v1 if ground.is_part else ground.v1.named(record.quarantine)


def check_drop(ground: Ground[V1, V2], record: RetirementRecord, confirm: str) -> None:
    """Raise `PhaseError` unless V1 may be dropped now, `ConfigurationError` unless it was confirmed by name."""
    check_step(record, DROP, RetirementStage.QUARANTINED)
    if confirm != ground.name:
        raise ConfigurationError(f"drop: this cannot be undone; confirm it by the migration's name, {ground.name}")


async def is_dropped(ground: Ground[V1, V2], record: RetirementRecord) -> bool:
    """Whether an interrupted run has dropped V1 already."""
    return record.doing == DROP and await ground.in_quarantine(record).identify() is None


async def drop(ground: Ground[V1, V2], record: RetirementRecord) -> RetirementRecord:
    """Drop V1, once its archive is verified again. Goes on where an earlier run was interrupted."""
    there = ground.in_quarantine(record)
    if not await is_dropped(ground, record):
        if await there.identify() != record.identity:
            raise PhaseError(f"drop: {there.place} is not the collection that was put there; look at what it is")
        await check_archive(ground, record)
        record = await ground.begin(record, DROP)
        await there.drop()
    return await ground.end(record, f"{there.place} dropped", stage=RetirementStage.DROPPED)


async def check_archive(ground: Ground[V1, V2], record: RetirementRecord) -> None:
    """Raise `PhaseError` where V1 was archived, and V1 or the archive has changed since."""
    known = record.archive
    if known is None or known.digest is None:
        return
    if await Archived(_source(ground, record)).digest() != known.digest:
        if ground.is_part:
            raise PhaseError(
                f"drop: {ground.describe_fields()} in V1 were changed since they were archived; remove "
                f"{known.target}, and run lazymig retire archive again"
            )
        raise PhaseError("drop: V1 has changed in quarantine since it was archived; restore it, and begin again")
    # A file may have been moved to a safer place since.
    if await exists(ground.v1, known):
        if await read_digest(ground.v1, known) != known.digest:
            raise PhaseError(f"drop: the archive {known.target} has changed since it was verified")
    elif known.kind == COLLECTION:
        raise PhaseError(f"drop: the archive {known.target} is gone")
