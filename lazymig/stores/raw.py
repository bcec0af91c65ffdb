"""Reading documents as bytes: they are split without being decoded, and identified by their ids."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from operator import eq
from typing import Any, Generic, TypeVar

import bson
from bson import ObjectId
from bson.decimal128 import Decimal128
from bson.errors import InvalidBSON
from bson.raw_bson import RawBSONDocument

from lazymig.stores.chunks import split_ids
from lazymig.stores.decimals import to_decimal
from lazymig.stores.decoding import decode, make_condition
from lazymig.stores.documents import raw_id
from lazymig.stores.drivers import IDS, Driver, DriverSession, Handle, driver_of
from lazymig.stores.elements import SIZES, find_end
from lazymig.stores.given import RawId
from lazymig.stores.heads import Ids, read_revision
from lazymig.stores.records import Document

T = TypeVar("T")

_OBJECT_ID = b"\x07_id\0"
_NUMBERS = frozenset({0x01, 0x10, 0x12, 0x13})


class Undecoded(Generic[T]):
    """The documents of one reply, each decoded when it is accessed. In-memory documents need no decoding.

    Decoding thousands of documents at once would create many objects that live together, which costs Python's garbage
    collector and the processor's caches much time.
    """

    def __init__(self, documents: Sequence[Any], options: Any, make: Callable[[Any], T]) -> None:
        self._documents = documents
        #: None where the documents are no bytes.
        self._options = options
        self._make = make

    @classmethod
    def joined(cls, parts: Sequence[Undecoded[T]], make: Callable[[Any], T]) -> Undecoded[T]:
        """Join the documents of several replies."""
        if len(parts) == 1:
            return parts[0]
        documents = [document for part in parts for document in part._documents]
        return cls(documents, parts[0]._options if parts else None, make)

    def __len__(self) -> int:
        return len(self._documents)

    def __getitem__(self, place: int) -> T:
        document, options = self._documents[place], self._options
        return self._make(document if options is None else decode(document, options))

    def document_at(self, place: int) -> Document:
        """Return a document as it is stored, whatever it is made into when it is accessed."""
        stored, options = self._documents[place], self._options
        document: Document = stored if options is None else decode(stored, options)
        return document

    def __iter__(self) -> Iterator[T]:
        return map(self.__getitem__, range(len(self)))

    def made_of(self, document: Document) -> T:
        """Return what a decoded document is made into."""
        return self._make(document)

    def documents(self) -> list[Document]:
        """Decode all of them as they are stored; for few documents."""
        return Undecoded[Document](self._documents, self._options, _keep).at_once()

    def at_once(self) -> list[T]:
        """Decode all of them; for small documents."""
        options = self._options
        if options is None:
            return list(self)
        try:
            return list(map(self._make, bson.decode_all(b"".join(self._documents), options)))
        except InvalidBSON:
            return list(self)

    def parts(self, size: int) -> Iterator[list[T]]:
        """Decode them in lists of this size. A few at once cost half as much as one by one."""
        for start in range(0, len(self), size):
            yield Undecoded(self._documents[start : start + size], self._options, self._make).at_once()

    def among(self, places: Iterable[int]) -> Undecoded[T]:
        """Return the documents at these places, in their order."""
        return Undecoded([self._documents[place] for place in places], self._options, self._make)

    @property
    def revisions(self) -> list[int] | None:
        """The revisions of V1's documents that hold only ids, each an `ObjectId`, and revisions.

        Nothing is decoded. None where one holds something else.
        """
        if self._options is None:
            return None
        revisions = [revision for raw in self._documents if (revision := read_revision(raw)) is not None]
        return revisions if len(revisions) == len(self) else None

    @property
    def undecoded_ids(self) -> Sequence[Any]:
        """The ids, as bytes until they are accessed where each is an `ObjectId`."""
        ids = None if self._options is None else Ids.of(self._documents)
        return self.ids if ids is None else ids

    @property
    def ids(self) -> list[Any]:
        """The ids. Nothing else is decoded."""
        if self._options is None:
            return [raw_id(document["_id"]) for document in self._documents]
        return [ObjectId(raw[9:21]) if raw[4:9] == _OBJECT_ID else _id_of(raw) for raw in self._documents]

    def has_ids_of(self, other: Undecoded[Any]) -> bool:
        """Whether both hold the same ids in the same order, byte for byte. Nothing is decoded."""
        if len(self) != len(other) or self._options is None:
            return False
        return all(map(eq, map(extract_id_bytes, self._documents), map(extract_id_bytes, other._documents)))

    @property
    def keys(self) -> list[Any]:
        """A hashable key for each id, equal for equal ids of other collections."""
        if self._options is None:
            return [_key_of(bson.encode({"_id": id})) for id in self.ids]
        return [raw[4:21] if raw[4:9] == _OBJECT_ID else _key_of(raw) for raw in self._documents]


async def find_one(
    collection: Handle,
    id: RawId,
    session: DriverSession | None,
    question: Document | None = None,
    fields: Document | None = None,
) -> Any:
    """Find the document with this id, or None; only if it matches the filter, if one is given."""
    where = {"_id": id, "$and": [question]} if question else {"_id": id}
    try:
        return await collection.find_one(where, fields, session=session)
    except InvalidBSON:
        # Read it again as bytes: this is rare, so a second statement is cheaper than bytes for every reply.
        return next(iter(await find_undecoded_by_id(collection, _keep, [id], session, question, fields)), None)


async def find_all(
    collection: Handle,
    ids: Sequence[RawId],
    session: DriverSession | None,
    question: Document | None = None,
    fields: Document | None = None,
) -> list[Any]:
    """Find the documents with these ids that exist and match, by as few statements as can name them all."""
    found: list[Any] = []
    for part in split_ids(ids):
        where: Document = {"_id": {"$in": list(part)}}
        where = {**where, "$and": [question]} if question else where
        try:
            found += await collection.find(where, fields, session=session).batch_size(len(part) + 1).to_list(None)
        except InvalidBSON:
            # One of them does not decode, and the driver returns none of the others.
            found += await find_undecoded(collection, _keep, where, size=len(part), fields=fields, session=session)
    return found


async def find_undecoded_by_id(
    collection: Handle,
    make: Callable[[Any], T],
    ids: Sequence[RawId],
    session: DriverSession | None = None,
    question: Document | None = None,
    fields: Document | None = None,
) -> Undecoded[T]:
    """Find the documents with these ids that exist and match the filter, if one is given, in any order."""
    parts = []
    for part in [ids] if isinstance(ids, Ids) else split_ids(ids):
        condition = part.make_condition() if isinstance(part, Ids) else make_condition({"$in": list(part)})
        where: Document = {"_id": condition}
        where = {"$and": [where, question]} if question else where
        parts.append(await find_undecoded(collection, make, where, size=len(part), fields=fields, session=session))
    return Undecoded.joined(parts, make)


def _make_filter(ids: Sequence[RawId]) -> Document:
    return {"_id": make_condition({"$in": list(ids)})}


def unpack(collection: Handle, document: Any) -> Any:
    """Decode a document that was read as bytes, by the collection's codec options."""
    return decode(bytes(document.raw), collection.codec_options) if isinstance(document, RawBSONDocument) else document


def _keep(document: Any) -> Any:
    return document


async def find_undecoded(
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
    # Raw batches would be joined and split again.
    options = collection.codec_options
    undecoded = collection.with_options(codec_options=options.with_options(document_class=RawBSONDocument))
    cursor = undecoded.find(where, fields, sort=sort, limit=limit, session=session)
    # The driver gives a large one as a view of the reply.
    documents = [bytes(document.raw) for document in await cursor.batch_size(size + 1).to_list(None)]
    return Undecoded(documents, options, make)


def split(batch: bytes) -> list[bytes]:
    """Split a raw batch into its documents, by slicing where all have one length, as most ids do."""
    length = int.from_bytes(batch[:4], "little") or 1
    count = len(batch) // length
    # Each document begins with its length. If these four bytes repeat at every multiple of it, documents start there.
    if count * length == len(batch) and all(batch[i::length] == batch[i : i + 1] * count for i in range(4)):
        return [batch[start : start + length] for start in range(0, len(batch), length)]
    documents, start = [], 0
    while start < len(batch):
        end = start + int.from_bytes(batch[start : start + 4], "little")
        documents.append(batch[start:end])
        start = end
    return documents


def keys_of(ids: Iterable[RawId]) -> list[Any]:
    """Return a hashable key for each id; an id may be of a type that Python cannot hash."""
    return [_key_of(bson.encode({"_id": id})) for id in ids]


def _id_of(document: bytes) -> Any:
    element = extract_id_bytes(document)
    return raw_id(decode((len(element) + 5).to_bytes(4, "little") + element + b"\0", IDS)["_id"])


def _key_of(document: bytes) -> Any:
    if document[4] not in _NUMBERS:
        return extract_id_bytes(document)
    # To MongoDB, 5 and 5.0 are one id, but they are not the same bytes.
    number = _id_of(document)
    number = to_decimal(number) if isinstance(number, Decimal128) else number
    return extract_id_bytes(document) if Decimal(number).is_nan() else number


def extract_id_bytes(document: Any) -> bytes:
    """Return the bytes of `_id`, which identify the document. Nothing else is decoded."""
    if not isinstance(document, bytes) or document[5:9] != b"_id\0":
        return extract_id_bytes(bson.encode({"_id": raw_id(decode_for_id(document)["_id"])}))
    kind = document[4]
    size = SIZES.get(kind)
    return document[4 : find_end(document, kind, 9) if size is None else 9 + size]


def decode_for_id(document: Any) -> Any:
    """Decode a document of which only the id and the revision are needed. Decoding cannot fail."""
    return decode(document, IDS) if isinstance(document, bytes) else document
