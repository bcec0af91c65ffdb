"""V1's copy, if one is wanted, and its end."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TypeVar

from attrs import evolve

from lazymig.control.retirement import Archive, RetirementRecord, RetirementStage
from lazymig.errors import ConfigurationError, LazymigError, PhaseError
from lazymig.retiring.ground import Ground, check_step
from lazymig.stores.archives import Archived, Digest, digest_file
from lazymig.stores.given import Store
from lazymig.stores.moving_away import Removable

V1 = TypeVar("V1")
V2 = TypeVar("V2")

ARCHIVE, DROP = "archive", "drop"
_COLLECTION, _FILE = "collection", "file"


def name_archive(into: str | Path, database: str) -> Archive:
    """Return the archive that this names: a file, or a collection, of V1's database where no other is named.

    Raises `ConfigurationError`.
    """
    if isinstance(into, Path):
        if not into.name.endswith((".bson", ".bson.gz")):
            raise ConfigurationError("into: name a file that ends with .bson or .bson.gz, or a collection as a str")
        return Archive(_FILE, str(into.absolute()))
    name, dot, collection = into.partition(".")
    target = f"{name}.{collection}" if dot else f"{database}.{into}"
    if not all(target.split(".", 1)):
        raise ConfigurationError("into: name a collection, or a database and a collection as database.collection")
    return Archive(_COLLECTION, target)


async def archive(ground: Ground[V1, V2], record: RetirementRecord, into: str | Path) -> RetirementRecord:
    """Copy V1 in quarantine, and verify the copy. Goes on, or starts over, where an earlier run was interrupted.

    Where entities are parts of documents, there is no quarantine, and their fields are copied.
    """
    check_step(record, ARCHIVE, RetirementStage.SERVING if ground.is_part else RetirementStage.QUARANTINED)
    asked = name_archive(into, ground.v1.place.partition(".")[0])
    known = record.archive
    if known is not None and known.digest is not None:
        if known.target == asked.target and not (ground.is_part and not await _exists(ground, known)):
            return record
        if not ground.is_part:  # where V1 is in use, an archive may be outdated
            raise PhaseError(f"archive: V1 is archived already, in {known.target}")
    if record.doing != ARCHIVE or known != asked:
        if await _exists(ground, asked):
            raise PhaseError(f"archive: {asked.target} exists; name another place, or remove it")
        record = await ground.begin(record, ARCHIVE, archive=asked, v1=ground.v1.place)
    digest = await _copy(ground, record, asked)
    return await ground.end(
        record, f"archived {digest.count:,} documents in {asked.target}", archive=evolve(asked, digest=digest)
    )


async def _exists(ground: Ground[V1, V2], asked: Archive) -> bool:
    if asked.kind == _FILE:
        return await asyncio.to_thread(Path(asked.target).exists)
    return await _collection_of(ground, asked).identify() is not None


def _collection_of(ground: Ground[V1, V2], asked: Archive) -> Removable:
    database, _, name = asked.target.partition(".")
    return Removable(ground.v1.elsewhere(database, name))


async def _copy(ground: Ground[V1, V2], record: RetirementRecord, asked: Archive) -> Digest:
    """Make the copy unless it is there, and return its digest. Raises `LazymigError` if it is not what V1 holds."""
    source = Archived(_source(ground, record))
    there = await _exists(ground, asked)  # complete: both kinds get their name in one step
    if asked.kind == _FILE:
        held = await source.digest() if there else await _write(source, Path(asked.target))
    else:
        held = await source.digest()
        if not there:
            database, _, name = asked.target.partition(".")
            await source.copy_into(database, name)
    found = await _digest(ground, asked)
    if found != held:
        raise LazymigError(
            f"archive: {asked.target} holds {found.count:,} documents and V1 {held.count:,}, or their bytes differ; V1 "
            "stays as it is. Remove that copy, and archive again"
        )
    return held


def _source(ground: Ground[V1, V2], record: RetirementRecord) -> Store:
    return ground.pair.v1 if ground.is_part else ground.v1.named(record.quarantine)


async def _write(source: Archived, path: Path) -> Digest:
    try:
        return await source.write_to(path)
    except OSError as error:
        raise LazymigError(
            f"archive: {path} cannot be written ({error.strerror or type(error).__name__}); V1 stays as it is. "
            "Archive again, or name another place"
        ) from None


async def _digest(ground: Ground[V1, V2], asked: Archive) -> Digest:
    if asked.kind == _COLLECTION:
        database, _, name = asked.target.partition(".")
        return await Archived(ground.v1.elsewhere(database, name)).digest()
    try:
        return await digest_file(Path(asked.target))
    except (OSError, EOFError, ValueError) as error:
        raise LazymigError(
            f"archive: {asked.target} cannot be read as BSON documents ({type(error).__name__}); remove it, and "
            "archive again"
        ) from None


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
    if await _exists(ground, known):
        if await _digest(ground, known) != known.digest:
            raise PhaseError(f"drop: the archive {known.target} has changed since it was verified")
    elif known.kind == _COLLECTION:
        raise PhaseError(f"drop: the archive {known.target} is gone")
