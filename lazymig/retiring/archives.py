"""Where a copy of V1 is, and what it holds: a file, or a collection of the same cluster."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

from lazymig.control.retirement import Archive
from lazymig.errors import ConfigurationError, LazymigError
from lazymig.stores.archives import Archived, Digest, digest_file
from lazymig.stores.moving_away import Removable

COLLECTION: Final = "collection"
FILE: Final = "file"


def name_archive(into: str | Path, database: str) -> Archive:
    """Return the archive that this names: a file, or a collection, of V1's database where no other is named.

    Raises `ConfigurationError`.
    """
    if isinstance(into, Path):
        if not into.name.endswith((".bson", ".bson.gz")):
            raise ConfigurationError("into: name a file that ends with .bson or .bson.gz, or a collection as a str")
        return Archive(FILE, str(into.absolute()))
    name, dot, collection = into.partition(".")
    target = f"{name}.{collection}" if dot else f"{database}.{into}"
    if not all(target.split(".", 1)):
        raise ConfigurationError("into: name a collection, or a database and a collection as database.collection")
    return Archive(COLLECTION, target)


def split_target(asked: Archive) -> tuple[str, str]:
    """Return the database and the name of an archive that is a collection."""
    database, _, name = asked.target.partition(".")
    return database, name


async def exists(v1: Removable, asked: Archive) -> bool:
    """Whether there is something of this name already, in V1's cluster or among the files."""
    if asked.kind == FILE:
        return await asyncio.to_thread(Path(asked.target).exists)
    return await Removable(v1.elsewhere(*split_target(asked))).identify() is not None


async def write(source: Archived, path: Path) -> Digest:
    """Write the copy into a file. Raises `LazymigError` where that is impossible."""
    try:
        return await source.write_to(path)
    except OSError as error:
        raise LazymigError(
            f"archive: {path} cannot be written ({error.strerror or type(error).__name__}); nothing is changed. "
            "Archive again, or name another place"
        ) from None


async def read_digest(v1: Removable, asked: Archive) -> Digest:
    """Read the copy and return what identifies it. Raises `LazymigError` for a file that cannot be read."""
    if asked.kind == COLLECTION:
        return await Archived(v1.elsewhere(*split_target(asked))).digest()
    try:
        return await digest_file(Path(asked.target))
    except (OSError, EOFError, ValueError) as error:
        raise LazymigError(
            f"archive: {asked.target} cannot be read as BSON documents ({type(error).__name__}); remove it, and "
            "archive again"
        ) from None
