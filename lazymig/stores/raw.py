"""Documents as bytes, as the server sent them: split without being decoded, distinguished by their ids."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, Generic, TypeVar

import bson
from bson import ObjectId
from bson.decimal128 import Decimal128
from bson.errors import InvalidBSON
from bson.raw_bson import RawBSONDocument

from lazymig.stores.chunks import chunks
from lazymig.stores.decoding import condition, decoded
from lazymig.stores.documents import raw_id
from lazymig.stores.drivers import IDS, Driver, DriverSession, Handle, driver_of
from lazymig.stores.elements import OUTSIDE, SIZES
from lazymig.stores.given import RawId

T = TypeVar("T")

_OBJECT_ID = b"\x07_id\0"
_NUMBERS = frozenset({0x01, 0x10, 0x12, 0x13})


class Undecoded(Generic[T]):
    """Documents of one reply, each decoded when its turn comes; in memory, where they are no bytes, as they are.

    Thousands of documents decoded at once, each of many parts, are what Python's garbage collector and the processor's
    caches spend their time on.
    """

    def __init__(self, documents: Sequence[Any], options: Any, make: Callable[[Any], T]) -> None:
        self._documents = documents
        #: None where the documents are no bytes.
        self._options = options
        self._make = make

    @classmethod
    def joined(cls, parts: Sequence[Undecoded[T]], make: Callable[[Any], T]) -> Undecoded[T]:
        """The documents of several replies."""
        if len(parts) == 1:
            return parts[0]
        documents = [document for part in parts for document in part._documents]
        return cls(documents, parts[0]._options if parts else None, make)

    def __len__(self) -> int:
        return len(self._documents)

    def __getitem__(self, place: int) -> T:
        document, options = self._documents[place], self._options
        return self._make(document if options is None else decoded(document, options))

    def __iter__(self) -> Iterator[T]:
        return map(self.__getitem__, range(len(self)))

    def at_once(self) -> list[T]:
        """All of them, for small documents."""
        options = self._options
        if options is None:
            return list(self)
        try:
            return list(map(self._make, bson.decode_all(b"".join(self._documents), options)))
        except InvalidBSON:
            return list(self)

    @property
    def ids(self) -> list[Any]:
        """The ids; nothing else is decoded."""
        if self._options is None:
            return [raw_id(document["_id"]) for document in self._documents]
        return [ObjectId(raw[9:21]) if raw[4:9] == _OBJECT_ID else _id_of(raw) for raw in self._documents]

    @property
    def keys(self) -> list[Any]:
        """What distinguishes the ids and can be looked up fast, the same for the same id in another collection."""
        if self._options is None:
            return [_key_of(bson.encode({"_id": id})) for id in self.ids]
        return [raw[4:21] if raw[4:9] == _OBJECT_ID else _key_of(raw) for raw in self._documents]


async def find_one(collection: Handle, id: RawId, session: DriverSession | None) -> Any:
    """The document with this id, or None."""
    try:
        return await collection.find_one({"_id": id}, session=session)
    except InvalidBSON:
        # Once more as bytes: seldom, and then one statement more is cheaper than bytes for every reply.
        return next(iter(await undecoded_by_id(collection, _as_it_is, [id], session)), None)


async def find_all(collection: Handle, ids: Sequence[RawId], session: DriverSession | None) -> list[Any]:
    """The documents with these ids that exist, by as few statements as can name them all."""
    found: list[Any] = []
    for part in chunks(ids):
        where = {"_id": {"$in": list(part)}}
        try:
            found += await collection.find(where, session=session).batch_size(len(part) + 1).to_list(None)
        except InvalidBSON:
            # One of them does not decode, and the driver gives none of the others.
            found += await undecoded(collection, _as_it_is, where, size=len(part), session=session)
    return found


async def undecoded_by_id(
    collection: Handle, make: Callable[[Any], T], ids: Sequence[RawId], session: DriverSession | None = None
) -> Undecoded[T]:
    """Find the documents with these ids that exist, in any order."""
    parts = [
        await undecoded(collection, make, {"_id": condition({"$in": list(part)})}, size=len(part), session=session)
        for part in chunks(ids)
    ]
    return Undecoded.joined(parts, make)


def unpacked(collection: Handle, document: Any) -> Any:
    """A document that was asked for as bytes, decoded as the collection's are."""
    return decoded(bytes(document.raw), collection.codec_options) if isinstance(document, RawBSONDocument) else document


def _as_it_is(document: Any) -> Any:
    return document


async def undecoded(
    collection: Handle,
    make: Callable[[Any], T],
    where: Mapping[str, Any],
    *,
    size: int,
    limit: int = 0,
    fields: Any = None,
    sort: Sequence[tuple[str, int]] | None = None,
    session: DriverSession | None = None,
) -> Undecoded[T]:
    """Find documents, about `size` of them, by one statement."""
    if driver_of(collection) is Driver.MEMORY:
        cursor = collection.find(where, fields, session=session)
        found = await (cursor.sort(list(sort)) if sort else cursor).to_list(None)
        return Undecoded(found[: limit or None], None, make)
    cursor = collection.find_raw_batches(where, fields, sort=sort, limit=limit, session=session)
    documents = [document async for batch in cursor.batch_size(size + 1) for document in split(batch)]
    return Undecoded(documents, collection.codec_options, make)


def split(batch: bytes) -> list[bytes]:
    """The documents of a raw batch. Where all are equally long (most ids are), by plain slicing."""
    length = int.from_bytes(batch[:4], "little") or 1
    count = len(batch) // length
    # Each document begins with its length: if the same four bytes stand at every multiple of it, those are the starts.
    if count * length == len(batch) and all(batch[i::length] == batch[i : i + 1] * count for i in range(4)):
        return [batch[start : start + length] for start in range(0, len(batch), length)]
    documents, start = [], 0
    while start < len(batch):
        end = start + int.from_bytes(batch[start : start + 4], "little")
        documents.append(batch[start:end])
        start = end
    return documents


def keys_of(ids: Iterable[RawId]) -> list[Any]:
    """Keys that distinguish ids of one collection; an id may be of a type that Python cannot hash."""
    return [_key_of(bson.encode({"_id": id})) for id in ids]


def _id_of(document: bytes) -> Any:
    element = id_bytes(document)
    return raw_id(decoded((len(element) + 5).to_bytes(4, "little") + element + b"\0", IDS)["_id"])


def _key_of(document: bytes) -> Any:
    if document[4] not in _NUMBERS:
        return id_bytes(document)
    # To MongoDB, 5 and 5.0 are one id, but they are not the same bytes.
    number = _id_of(document)
    number = number.to_decimal() if isinstance(number, Decimal128) else number
    return id_bytes(document) if Decimal(number).is_nan() else number


def id_bytes(document: Any) -> bytes:
    """What distinguishes ids: the bytes of `_id` alone, whatever else the document holds. Nothing is decoded."""
    if not isinstance(document, bytes) or document[5:9] != b"_id\0":
        return id_bytes(bson.encode({"_id": raw_id(decoded_leniently(document)["_id"])}))
    kind = document[4]
    size = SIZES.get(kind)
    if size is None:
        size = OUTSIDE[kind] + int.from_bytes(document[9:13], "little")
    return document[4 : 9 + size]


def decoded_leniently(document: Any) -> Any:
    """A document that may hold what Python cannot: for its id and revision, which are sound."""
    return decoded(document, IDS) if isinstance(document, bytes) else document
