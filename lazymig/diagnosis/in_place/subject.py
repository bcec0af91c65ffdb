"""The documents that carry both shapes, as the doctor examines them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, TypeVar

import bson

from lazymig.comparing.comparer import Comparer
from lazymig.diagnosis.examining import AS_WRITTEN, Converted, Parsed, Subject, size_of
from lazymig.diagnosis.in_place.sharing import Sharing
from lazymig.diagnosis.mapping import FieldMap
from lazymig.errors import ConversionError
from lazymig.loop.clock import Clock
from lazymig.protocol.in_place.composing import compose_fill
from lazymig.protocol.in_place.parts import Parts
from lazymig.protocol.in_place.place import Place
from lazymig.stores.documents import parse_v2
from lazymig.stores.given import Store
from lazymig.stores.records import Document, StoredWhole, Unmoved, WholeChange
from lazymig.stores.whole_documents import check_whole, parse_whole

V1 = TypeVar("V1")
V2 = TypeVar("V2")


class OneSide(Subject, Generic[V1, V2]):
    """Documents with both shapes: V1's part of each is converted there and back, and nothing is stored."""

    def __init__(self, place: Place[V1, V2], sharing: Sharing, fields: FieldMap) -> None:
        self._place = place
        self._sharing = sharing
        #: Finds which field of V2's part holds what one of V1's holds.
        self._fields = fields
        self._comparer = Comparer(place.conversions, AS_WRITTEN, place.shape)

    @property
    def store(self) -> Store:
        return self._place.store

    @property
    def clock(self) -> Clock:
        return self._place.clock

    def parse(self, document: Document) -> Parsed:
        stored = parse_whole(document)
        return Parsed(Parts(self._place, stored).v1, stored)

    async def convert(self, parsed: Parsed, v1_bytes: int) -> Converted | Unmoved | None:
        assert parsed.whole is not None  # `parse` has set it
        stored = check_whole(parsed.whole)
        parts = Parts(self._place, stored)
        if parts.alone:
            return None  # V1's part is not kept
        self._sharing.note(known=stored.of is not None, fits=parts.fits, id=stored.id)
        conversions = self._place.conversions
        entity = await conversions.upgraded(parsed.truth, None)
        if isinstance(entity, Unmoved):
            return entity
        _, raw = conversions.v2_document(stored.id, entity, parsed.truth.revision, "sweep", compare=True)
        # As a later read of V2 would find it. The comparer upgrades once more, which must give the same bytes.
        seen = parse_v2(bson.decode(raw, conversions.v2.options))
        filled = self._fill(parts, conversions.v2_body(entity))
        comparison = await self._comparer.compare(parsed.truth, seen)
        newest, alone = conversions.v1_stored(parsed.truth), size_of(parsed.truth.document)
        return Converted(parsed.truth, newest, alone, seen, size_of(filled), comparison)

    def _fill(self, parts: Parts[V1, V2], body: Document) -> Document:
        """Return the document with its V2 part; as it is stored where that cannot be stored."""
        stored = parts.stored
        if stored.of is None and (taken := self._place.shape.find_taken(stored.document)) is not None:
            self._sharing.note_taken(stored.id, taken)
        try:
            filled = _apply(compose_fill(parts, body, "sweep"))
        except ConversionError as error:
            self._sharing.note_refused(stored.id, error.path)
            return stored.document
        self._sharing.note_converted()
        self._fields.note(parts.v1.document, self._place.shape.v2_as_stored(filled))
        return filled.document

    async def note_page(self, parsed: Sequence[Parsed]) -> None:
        pass  # each document says by itself what other programs did to it


def _apply(change: WholeChange) -> StoredWhole:
    kept = {name: value for name, value in change.seen.document.items() if name not in change.vanished}
    return parse_whole({**kept, **change.changed, "_lazymig": change.meta})
