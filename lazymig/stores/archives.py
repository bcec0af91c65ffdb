"""Copies of a whole collection: into another one, or into a file of BSON documents, with a checksum of their bytes."""

from __future__ import annotations

import asyncio
import gzip
import os
from collections.abc import AsyncIterator, Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO, cast

import bson
from attrs import frozen
from bson.raw_bson import RawBSONDocument

from lazymig.stores.carried import carried_of
from lazymig.stores.drivers import (
    MAJORITY,
    READ_MAJORITY,
    Driver,
    Handle,
    await_if_needed,
    collection_of,
    driver_of,
    tune,
)
from lazymig.stores.given import Store
from lazymig.stores.raw import split
from lazymig.stores.records import Document

_BITS = 2**256
#: Documents that are inserted at a time.
_INSERTED = 1000
#: Bytes that are read from a file at a time.
_CHUNK = 1 << 20


@frozen
class Digest:
    """What identifies a set of documents: their number, and a checksum of all their bytes, in any order."""

    count: int
    checksum: str


class _Summing:
    """Adds up the documents' own checksums, so that their order does not matter."""

    def __init__(self) -> None:
        self._count = self._sum = 0

    def add(self, document: bytes) -> None:
        self._count += 1
        self._sum = (self._sum + int.from_bytes(sha256(document).digest(), "big")) % _BITS

    @property
    def digest(self) -> Digest:
        return Digest(self._count, f"{self._sum:064x}")


class Archived:
    """A collection that is copied as a whole, byte for byte. Nobody may write it meanwhile.

    Where entities are parts of documents, their ids and fields are copied, and nobody may write those.
    """

    def __init__(self, store: Store) -> None:
        carried = carried_of(store)
        self._where: Document = carried.selection
        self._fields: Document | None = dict.fromkeys(carried.names, 1) if carried.is_part else None
        self._collection: Handle = tune(collection_of(store), write=MAJORITY, read=READ_MAJORITY)
        self._in_memory = driver_of(self._collection) is Driver.MEMORY

    async def digest(self) -> Digest:
        """Read all documents and return what identifies them."""
        summing = _Summing()
        async for documents in self._read():
            for document in documents:
                summing.add(document)
        return summing.digest

    async def copy_into(self, database: str, name: str) -> None:
        """Copy all documents into a collection of the same cluster, which this creates or replaces in one step."""
        if self._in_memory:
            target = self._collection.database.client[database][name]
            await target.insert_many(await self._collection.find(self._where, self._fields).to_list(None))
            return
        stages: list[Document] = [{"$match": self._where}, {"$project": self._fields}] if self._fields else []
        stages.append({"$out": {"db": database, "coll": name}})
        cursor = await await_if_needed(self._collection.aggregate(stages))
        await cursor.to_list(None)

    async def write_to(self, path: Path) -> Digest:
        """Write all documents into this file, compressed where its name ends with `.gz`; return what was written.

        It is complete and on the disk, under its name, when this returns. Before, it has `.part` behind its name.
        """
        part = path.with_name(f"{path.name}.part")
        summing = _Summing()
        file = await asyncio.to_thread(_create, part, compressed=path.suffix == ".gz")
        try:
            async for documents in self._read():
                for document in documents:
                    summing.add(document)
                await asyncio.to_thread(file.write, b"".join(documents))
        finally:
            await asyncio.to_thread(file.close)
        await asyncio.to_thread(_settle, part, path)
        return summing.digest

    async def _read(self) -> AsyncIterator[list[bytes]]:
        if self._in_memory:
            found = await self._collection.find(self._where, self._fields).to_list(None)
            yield [bson.encode(document) for document in found]
            return
        async for batch in self._collection.find_raw_batches(self._where, self._fields):
            yield split(batch)


class ArchivedFields(Archived):
    """Some fields of a collection's documents, copied while the collection is in use: each document as it is read."""

    def __init__(self, store: Store, where: Document, fields: Mapping[str, int]) -> None:
        super().__init__(store)
        self._where = where
        self._fields = fields

    async def copy_part_into(self, database: str, name: str) -> Digest:
        """Copy these fields into another collection, durably, and return what identifies them, as they were read.

        What the other collection held goes first, so that a copy which was cut off starts over.
        """
        target = tune(self._collection.database.client[database][name], write=MAJORITY)
        await target.drop()
        summing = _Summing()
        async for documents in self._read():
            for document in documents:
                summing.add(document)
            for start in range(0, len(documents), _INSERTED):
                await target.insert_many([self._decode(one) for one in documents[start : start + _INSERTED]])
        return summing.digest

    def _decode(self, document: bytes) -> Document:
        return bson.decode(document) if self._in_memory else RawBSONDocument(document)


async def digest_file(path: Path) -> Digest:
    """Read a file of BSON documents and return what identifies them. Raises `OSError` or `ValueError` for a bad one."""
    return await asyncio.to_thread(_digest_file, path)


def _digest_file(path: Path) -> Digest:
    summing = _Summing()
    with _open(path) as file:
        for document in _documents_of(file):
            summing.add(document)
    return summing.digest


def _documents_of(file: BinaryIO) -> Iterator[bytes]:
    while head := file.read(4):
        size = int.from_bytes(head, "little")
        document = head + file.read(max(size - 4, 0))
        if len(document) != size or size < 5:
            raise ValueError("the file ends within a document")
        yield document


def _open(path: Path) -> BinaryIO:
    return cast("BinaryIO", gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb", _CHUNK))


def _create(path: Path, *, compressed: bool) -> BinaryIO:
    path.parent.mkdir(parents=True, exist_ok=True)
    return cast("BinaryIO", gzip.open(path, "wb") if compressed else path.open("wb", _CHUNK))


def _settle(part: Path, path: Path) -> None:
    """Give a written file its name once its bytes are on the disk."""
    with part.open("rb+") as file:
        os.fsync(file.fileno())
    part.replace(path)
    if hasattr(os, "O_DIRECTORY"):  # so that the name is on the disk too
        folder = os.open(path.parent, os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
