"""The two parts of one document, as the rest of the protocol knows them: V1's document, and V2's at a revision."""

from __future__ import annotations

from typing import Generic, TypeVar

from lazymig.errors import ConversionError
from lazymig.protocol.edits import Base
from lazymig.protocol.in_place.place import Place
from lazymig.shapes.conversions import Conversions
from lazymig.shapes.fields import Rejected
from lazymig.shapes.one_document import Lift
from lazymig.stores.documents import META_FIELD, decode_id
from lazymig.stores.records import StoredV1, StoredV2, StoredWhole, Unmoved
from lazymig.stores.whole_documents import check_whole

V1 = TypeVar("V1")
V2 = TypeVar("V2")

#: Inside one document, the revisions of its parts only say whether V2's was made from V1's as it stands.
_CURRENT, _BEHIND = 2, 1


class Parts(Generic[V1, V2]):
    """One document, split. Nothing is converted or decoded until it is asked for.

    Every document that is read becomes one, so it is a plain class: those are the fastest to make.
    """

    __slots__ = ("_fingerprint", "place", "stored")

    def __init__(self, place: Place[V1, V2], stored: StoredWhole) -> None:
        if stored.alone is not None and stored.alone != place.conversions.migration.name:
            # What an earlier migration has ended with is V1's part to this one. `of` stays, for guards: it never fits.
            stored = stored._replace(lifted=False, unmoved=None)
        self.place = place
        self.stored = stored
        self._fingerprint: bytes | None = None

    @property
    def alone(self) -> bool:
        """Whether V2's part is the only truth."""
        mine = self.stored.alone == self.place.conversions.migration.name
        return mine or (self.place.finished and self.stored.unmoved is None)

    @property
    def fingerprint(self) -> bytes:
        """The fingerprint of V1's part as it stands, computed once."""
        known = self._fingerprint
        if known is None:
            known = self._fingerprint = self.place.shape.fingerprint(self.stored.document)
        return known

    @property
    def fits(self) -> bool:
        """Whether V2's part, or that there is none, was decided about V1's part as it stands beside it."""
        of = self.stored.of
        if self.place.finished:  # nobody can change what no process converts
            return True
        return of is not None and of == self.fingerprint

    @property
    def v1(self) -> StoredV1:
        """V1's part."""
        return StoredV1(self.stored.id, _CURRENT, self.place.shape.v1_part(self.stored.document))

    def v2(self, *, fits: bool) -> StoredV2 | None:
        """Return V2's part, or None if there has never been one."""
        stored = self.stored
        if not self.alone and (stored.of is None or stored.alone is not None or not stored.known):
            return None
        revision = _CURRENT if fits or self.alone else _BEHIND
        return StoredV2(
            stored.id, revision, revision, stored.unmoved is not None, None, self.place.shape.v2_part(stored),
            stored.conv, (), stored.unmoved,
        )  # fmt: skip

    @property
    def base(self) -> Base:
        """What a write starts from while V1's part is kept. Raises `ConversionError` for unusable meta data."""
        check_whole(self.stored)
        return Base(self.v2(fits=self.fits), self.v1)

    def check(self) -> None:
        """Raise `ConversionError` for a document on which no V2 part may be stored."""
        check_whole(self.stored)
        if self.stored.of is not None or self.alone:
            return
        taken = self.place.shape.find_taken(self.stored.document)
        if taken is not None:
            wrong = Rejected(
                "the document has this field already, which V1 does not declare and V2 would overwrite; pass "
                "Migration(v2_within=...), or store V2's field under another name. Where lazymig had stored it and "
                f"another program has dropped {META_FIELD}, unset V2's fields", taken,
            )  # fmt: skip
            raise ConversionError(decode_id(self.stored.id), "upgrade", wrong, taken, side="V1")

    def trusted(self) -> V2 | None:
        """Return V2's entity where V2's part may answer; None where V1's part must be converted."""
        if self.alone:
            return self.trusted_alone()
        if self.stored.unmoved is not None or not self.is_current:
            return None
        stored, shape = self.stored, self.place.shape
        conversions: Conversions[V1, V2] = self.place.conversions
        if shape.within is None or stored.lifted:
            # Making a document of V2's part takes as long as reading a small one.
            entity = conversions.v2.decode_among(stored.document)
            if entity is not None:
                return entity
        return conversions.try_v2(shape.v2_part(stored))

    def check_reduced(self) -> None:
        """Raise `ConversionError` where V1's part may still count and this release no longer knows V1."""
        if self.place.finished and self.stored.known and not self.stored.alone:
            wrong = Rejected(
                "V1's part still stands beside V2's, and this release no longer knows V1; run lazymig retire reduce "
                "with the release that has both classes"
            )
            raise ConversionError(decode_id(self.stored.id), "read", wrong, META_FIELD)

    def trusted_alone(self) -> V2:
        """Return V2's entity where it is the only truth. Raises `ConversionError` where it does not decode."""
        self.check_reduced()
        conversions: Conversions[V1, V2] = self.place.conversions
        return conversions.v2_entity(self._expect_v2())

    def _expect_v2(self) -> StoredV2:
        seen = self.v2(fits=True)
        assert seen is not None  # it fits, so there is one
        return seen

    @property
    def is_current(self) -> bool:
        """Whether V2's part is what this conversion or a newer one makes of V1's part as it stands."""
        return self.stored.conv >= self.place.conversions.migration.revision and self.fits

    @property
    def decided(self) -> Unmoved | None:
        """Why there is no V2 part, where that was decided about V1's part as it stands."""
        return self.stored.unmoved if self.stored.unmoved is not None and self.is_current else None

    async def made(self, *, storing: bool = True) -> V2 | Unmoved:
        """Return V2's entity, converted from V1's part, or why there is none. Raises `ConversionError`."""
        return await self.place.conversions.upgraded(self.v1, self.v2(fits=self.fits), storing=storing)

    @property
    def may_fill(self) -> bool:
        """Whether this release may store its conversion: not over a part that a newer one made.

        Once V2 parts are lifted, V2's fields may stand where V1's do, so only writes of V2's part alone store them.
        """
        if self.place.shape.lift is Lift.DONE:
            return False
        return not (self.stored.known and self.stored.conv > self.place.conversions.migration.revision)
