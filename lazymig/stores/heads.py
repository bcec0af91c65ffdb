"""Ids and revisions of documents, read from their bytes: nothing is decoded, and no object is made for each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, overload

from bson import ObjectId
from bson.raw_bson import RawBSONDocument

from lazymig.stores.chunks import COUNT_MAX
from lazymig.stores.documents import REVISION_FIELD
from lazymig.stores.given import RawId
from lazymig.stores.records import Document

#: The type and name of an id that is an `ObjectId`, and where the id lies.
_OBJECT_ID, _ID_START, _ID_END = b"\x07_id\0", 9, 21
#: The types and names of revisions that lazymig stores, the size of each, and where it begins after an `ObjectId`.
_REVISIONS = {b"\x10" + REVISION_FIELD.encode() + b"\0": 4, b"\x12" + REVISION_FIELD.encode() + b"\0": 8}
_REVISION_START = _ID_END + len(REVISION_FIELD) + 2
#: The length of a document without a revision.
_BARE = _ID_END + 1
#: The names of an array's elements, each after the type of its value.
_ELEMENTS = [b"\x07%d\0" % number for number in range(COUNT_MAX)]


def read_revision(raw: bytes) -> int | None:
    """Return the revision of a document of V1 that holds nothing but its id, an `ObjectId`, and its revision.

    None for any other document, which must be decoded.
    """
    if raw[4:_ID_START] != _OBJECT_ID:
        return None
    if len(raw) == _BARE:
        return 0
    size = _REVISIONS.get(raw[_ID_END:_REVISION_START])
    if size is None or len(raw) != _REVISION_START + size + 1:
        return None
    revision = int.from_bytes(raw[_REVISION_START:-1], "little", signed=True)
    return revision if revision > 0 else None


class Ids(Sequence[RawId]):
    """The ids of documents, all of them an `ObjectId`, each decoded when it is accessed."""

    def __init__(self, documents: Sequence[bytes]) -> None:
        self._documents = documents

    @classmethod
    def of(cls, documents: Sequence[Any]) -> Ids | None:
        """Return the ids of these documents; None where one is no `ObjectId`, or no bytes, or there are too many."""
        if len(documents) > COUNT_MAX or any(raw[4:_ID_START] != _OBJECT_ID for raw in documents):
            return None
        return cls(documents)

    def __len__(self) -> int:
        return len(self._documents)

    @overload
    def __getitem__(self, place: int) -> RawId: ...

    @overload
    def __getitem__(self, place: slice) -> Sequence[RawId]: ...

    def __getitem__(self, place: int | slice) -> RawId | Sequence[RawId]:
        if isinstance(place, slice):
            return Ids(self._documents[place])
        return ObjectId(self._documents[place][_ID_START:_ID_END])

    def make_condition(self) -> Document:
        """Return the operators of a filter for these ids, as BSON."""
        ids: Iterable[bytes] = (raw[_ID_START:_ID_END] for raw in self._documents)
        inner = b"".join([name + id for name, id in zip(_ELEMENTS, ids, strict=False)])
        listed = b"\x04$in\0" + (len(inner) + 5).to_bytes(4, "little") + inner + b"\0"
        return RawBSONDocument((len(listed) + 5).to_bytes(4, "little") + listed + b"\0")
