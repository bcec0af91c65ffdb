"""Storing V2 parts: a page of whole documents is split, converted where that is needed, and filled by one statement.

A fill changes no field of V1's. It is stored over the document that was read and nothing else, so a writer in between
wins. Where a program that does not use lazymig was the writer, the fingerprint that is stored shows that V2's part is
not of V1's part any more.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Generic, TypeVar

import bson
from attrs import evolve, frozen

from lazymig.control import Control, parts_of
from lazymig.errors import ConversionError
from lazymig.passes.shedding import as_patient_as
from lazymig.passes.sounding import Sounding
from lazymig.protocol.in_place.composing import compose_fill
from lazymig.protocol.in_place.glancing import is_clearly_current
from lazymig.protocol.in_place.parts import Parts
from lazymig.protocol.in_place.place import Place
from lazymig.shapes.attempts import attempt
from lazymig.stores.documents import META_FIELD, decode_id
from lazymig.stores.drivers import describe_refusal
from lazymig.stores.given import RawId
from lazymig.stores.raw import keys_of
from lazymig.stores.records import StoredV1, StoredWhole, Unmoved, WholeChange
from lazymig.stores.scans import Scan
from lazymig.stores.whole_documents import make_setting, parse_whole
from lazymig.sweeping.failures import Failures
from lazymig.sweeping.moving import COMPARED, check_id, split_by_size

V1 = TypeVar("V1")
V2 = TypeVar("V2")


@frozen
class _Converted:
    change: WholeChange
    size: int
    #: The count of a report that it belongs to once it is stored.
    counted: str
    #: What a dead letter shows as V1's revision.
    mark: int


def make_mark(parts: Parts[V1, V2]) -> int:
    """Return a number that another V1 part has not: what a dead letter of this layout has as V1's revision.

    Programs that do not use lazymig change no revision. JSON can hold it exactly.
    """
    return int.from_bytes(parts.fingerprint[:6])


def is_settled(parts: Parts[V1, V2]) -> bool:
    """Return whether nothing needs a person: V2's part is current, or is the truth."""
    return parts.alone or parts.is_current


class PlaceMover(Generic[V1, V2]):
    """Stores the V2 parts of documents that lack one, or whose V2 part was made of another V1 part."""

    def __init__(
        self,
        place: Place[V1, V2],
        control: Control | None,
        counts: Counter[str],
        *,
        dry_run: bool,
        sounding: Sounding | None = None,
    ) -> None:
        self._place = place
        letters = None if control is None else parts_of(control).letters
        self.failures = Failures(letters, place.conversions.migration.name, counts)
        self._counts = counts
        self._dry_run = dry_run
        self._to_compare = COMPARED
        self._sounding = Sounding(place.clock) if sounding is None else sounding
        self._scan = as_patient_as(place.store, Scan(place.store))

    async def move(self, documents: Sequence[RawId]) -> None:
        """Convert and store what these documents lack, which are decoded or raw.

        Returns when each is durably stored or has its dead letter.
        """
        batch: list[_Converted] = []
        async with self._sounding.converting:
            async for some in self._sounding.in_turns(documents):
                for document in some:
                    if isinstance(document, bytes) and is_clearly_current(self._place, document):
                        self._counts["present"] += 1
                    else:
                        batch += await self._convert(Parts(self._place, parse_whole(self._scan.decoded(document))))
        for part in split_by_size(batch):
            await self._store(part)
        await self.failures.flush()

    async def _convert(self, parts: Parts[V1, V2]) -> list[_Converted]:
        """Return the statement of one document; none where V2's part is current, or the document has a dead letter."""
        conversions = self._place.conversions
        if is_settled(parts) or not parts.may_fill:
            self._counts["present"] += 1
            return []
        try:
            parts.check()
            check_id(conversions, parts.stored.id)
            made = await parts.made()
            exactly = self._dry_run or self._to_compare > 0
            self._to_compare -= 1
            encode = conversions.v2_body if exactly else conversions.v2_before
            change = compose_fill(parts, made if isinstance(made, Unmoved) else encode(made), "sweep")
            # Encoding it checks that BSON can hold it. The driver sends these bytes as they are.
            packed = attempt(decode_id(parts.stored.id), "upgrade", bson.encode, make_setting(change))
        except ConversionError as error:
            self.failures.note_unconvertible(StoredV1(parts.stored.id, make_mark(parts), {}), error)
            return []
        if self._scan.is_raw:
            # Nothing else is needed, and a thousand decoded documents that live together cost much time.
            change = evolve(change, seen=parts.stored._replace(document={}), changed={}, packed=packed)
        return [_Converted(change, len(packed), self._name_count(parts, made), make_mark(parts))]

    def _name_count(self, parts: Parts[V1, V2], made: V2 | Unmoved) -> str:
        if isinstance(made, Unmoved):
            return made.why
        stored = parts.stored
        if stored.of is None or stored.unmoved is not None:
            return "migrated"
        return "healed" if stored.conv >= self._place.conversions.migration.revision else "reconverted"

    async def _store(self, batch: Sequence[_Converted]) -> None:
        if self._dry_run:
            self._counts.update(one.counted for one in batch)
            return
        filled = await self._place.store.fill_each([one.change for one in batch], durable=True)
        for number, error in filled.refused.items():
            one = batch[number]
            self.failures.note(one.change.seen.id, one.mark, "store", type(error).__name__, describe_refusal(error), "")
        sent = [one for number, one in enumerate(batch) if number not in filled.refused]
        stored = sent if filled.stored == len(sent) else await self._find_stored(sent)
        self._counts.update(one.counted for one in stored)
        # A client was faster, or deleted the document. Neither is an error.
        self._counts["moved_by_clients"] += len(sent) - len(stored)

    async def _find_stored(self, batch: Sequence[_Converted]) -> list[_Converted]:
        """Find which of these are stored: the server only reports how many."""
        rows = await self._scan.find_fields([one.change.seen.id for one in batch], META_FIELD)
        now = dict(zip(keys_of(row["_id"] for row in rows), map(parse_whole, rows), strict=True))
        keys = keys_of(one.change.seen.id for one in batch)
        return [one for key, one in zip(keys, batch, strict=True) if _is_stored(one.change, now.get(key))]


def _is_stored(change: WholeChange, now: StoredWhole | None) -> bool:
    meta = None if now is None else now.document.get(META_FIELD)
    return meta == change.meta
