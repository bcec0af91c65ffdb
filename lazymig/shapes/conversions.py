"""Decoding, the user's conversions and encoding of both shapes of an entity. Each failure is a `ConversionError`."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from functools import partial
from typing import Any, Generic, TypeVar

import bson
from attrs import evolve, frozen

from lazymig.errors import ConversionError, Direction, NotYet
from lazymig.shapes.attempts import attempt, call, make_failure, make_unreadable
from lazymig.shapes.codec import Codec, codec_for
from lazymig.shapes.fields import Rejected
from lazymig.shapes.leaving import LEAVE
from lazymig.shapes.migration import Migration, get_downgrading, get_upgrading
from lazymig.shapes.v1_changes import V1Changes, find_rewrite, find_v1_changes, must_read_v1
from lazymig.stores.carried import WHOLE, Carried
from lazymig.stores.documents import META_FIELD, By, body_of, born_clean, decode_id, raw_id
from lazymig.stores.records import Body, Document, Fields, StoredV1, StoredV2, Unmoved
from lazymig.stores.revisions import check_revision
from lazymig.user_code import find_definition

V1 = TypeVar("V1")
V2 = TypeVar("V2")
T = TypeVar("T")

_NONE_GIVEN: Any = object()


@frozen
class Conversions(Generic[V1, V2]):
    """A migration's conversions, bound to the way in which its two clients return documents."""

    migration: Migration[V1, V2]
    v1: Codec[V1]
    v2: Codec[V2]
    #: How V1's documents carry the entities.
    carried: Carried = WHOLE

    def v1_entity(self, stored: StoredV1) -> V1:
        """Decode V1's document into an entity."""
        check_revision(stored, self.carried.revision)
        return attempt(decode_id(stored.id), "read", self.v1.decode_apart, stored.document, "V1")

    def v1_stored(self, stored: StoredV1) -> Document:
        """Return V1's document in the newest version and without the version, to compare it with `v1_before`."""
        chain = self.migration.upcasters
        if chain is None:
            return stored.document
        document = attempt(decode_id(stored.id), "read", self.v1.bring_up, stored.document, "V1")
        return {name: value for name, value in document.items() if name != chain.field}

    def v2_entity(self, stored: StoredV2) -> V2:
        """Decode V2's body into an entity. The document must not be gone."""
        return attempt(decode_id(stored.id), "read", self.v2.decode_apart, stored.document, "V2")

    def is_current(self, seen: StoredV2) -> bool:
        """Return whether V2's document can answer alone: it is clean, and of this conversion or a newer one."""
        return seen.clean and seen.conv >= self.migration.revision

    def is_settled(self, seen: StoredV2) -> bool:
        """Return whether V2's document is what this conversion or a newer one stores of V1's revision."""
        return seen.settled and seen.conv >= self.migration.revision

    def is_newer(self, seen: StoredV2) -> bool:
        """Return whether a newer release made V2's body."""
        return seen.conv > self.migration.revision

    def must_leave(self, seen: StoredV2, truth: StoredV1) -> bool:
        """Return whether only a newer release can update V2's body.

        That is so if a newer release made it, it is behind V1, and `upgrade` needs the previous V2 entity.
        """
        behind = seen.revision < truth.revision and not seen.with_kept_body().gone
        return behind and self.is_newer(seen) and get_upgrading(self.migration).takes_other

    def trusted(self, seen: StoredV2) -> V2 | None:
        """Return the entity of a live V2 document; None if V1 must be read, as where an older conversion made it."""
        return None if seen.conv < self.migration.revision else self.try_v2(seen.document)

    def try_v2(self, document: Document) -> V2 | None:
        """Return the entity of a V2 document, or None where another class made it: V1 has the data it was made from."""
        try:
            return self.v2.decode(document)  # not apart: nobody else looks at the document
        except Exception:
            return None

    def previous(
        self, seen: StoredV2 | None, truth: StoredV1, *, storing: bool = True, seen_later: bool = False
    ) -> V2 | None:
        """Return V2's last body of the same life, for an `upgrade` that keeps what V1 cannot express.

        Return None if there is no such body, or if `upgrade` does not take it. If the result is not stored, the body of
        a newer release counts as absent when it does not decode. `seen_later`: V2 was read after V1.

        Raises `ConversionError` if the body cannot be read, because the values that only V2 holds would be lost.
        """
        if seen is None or not get_upgrading(self.migration).takes_other:
            return None
        seen = seen.with_kept_body()
        if seen.gone:
            return None
        # An insert came after the body, so V1 may already hold the entity of another life. It does not if V1 is still
        # at the body's own revision, because no entity of another life ever has that revision.
        if seen.revision != truth.revision and any(ticket <= truth.revision for ticket in seen.inserts):
            return None
        # The body is ahead of V1: a writer of a deleted entity stored it late. Without a revision, V1 was replaced by a
        # program that does not use lazymig.
        if seen.revision > truth.revision and truth.revision and not seen_later:
            return None
        reshape = self.migration.reshape.get(seen.conv, _NONE_GIVEN)
        if reshape is not None and reshape is not _NONE_GIVEN:
            return self._reshaped(seen, reshape)
        try:
            return self.v2_entity(seen)
        except ConversionError as error:
            if reshape is None or (self.is_newer(seen) and not storing):
                return None
            raise ConversionError(
                error.id, error.direction, make_unreadable(seen.conv), error.path, error.line, error.side
            ) from None

    def _reshaped(self, seen: StoredV2, reshape: Callable[[Fields], V2]) -> V2:
        id = decode_id(seen.id)
        body = {name: deepcopy(value) for name, value in seen.document.items() if name != META_FIELD} | {"_id": id}
        try:
            entity = reshape(body)
        except Exception as error:
            failure = make_failure(id, "read", error, "V2")
        else:
            return self._checked(entity, self.migration.v2, id, "read")
        raise failure

    async def upgraded(
        self, stored: StoredV1, seen: StoredV2 | None, *, storing: bool = True, seen_later: bool = False
    ) -> V2 | Unmoved:
        """Convert V1's document to a V2 entity. `previous` decides which V2 body `upgrade` gets."""
        previous = self.previous(seen, stored, storing=storing, seen_later=seen_later)
        return await self.upgrade(self.v1_entity(stored), previous, seen)

    async def upgrade(self, entity: V1, previous: V2 | None, seen: StoredV2 | None = None) -> V2 | Unmoved:
        """Convert a V1 entity to a V2 entity, and check its class and its id; or return why V2 gets no body.

        `seen` is V2's document that `previous` was read from. Its body is kept for the next conversion.
        """
        upgrading, id = get_upgrading(self.migration), getattr(entity, self.migration.id_field)
        try:
            converted = call(upgrading, id, "upgrade", (entity, previous), self.migration.v2)
            if upgrading.is_async:
                converted = await converted
            if converted is not LEAVE:
                return self._checked(converted, self.migration.v2, id, "upgrade")
            unmoved = Unmoved("left")
        except ConversionError as error:
            if not isinstance(error.cause, NotYet):
                raise
            unmoved = Unmoved("waiting", error.cause.reason)
        if seen is None or previous is None:
            return unmoved
        seen = seen.with_kept_body()
        return evolve(unmoved, kept=body_of(seen), kept_conv=seen.conv)

    async def downgrade(self, entity: V2, current: V1 | None) -> V1:
        """Convert a V2 entity to a V1 entity, and check its class and its id."""
        downgrading, id = get_downgrading(self.migration), getattr(entity, self.migration.id_field)
        converted = call(downgrading, id, "downgrade", (entity, current), self.migration.v1)
        if downgrading.is_async:
            converted = await converted
        return self._checked(converted, self.migration.v1, id, "downgrade")

    def decided(self, seen: StoredV2 | None, truth: StoredV1) -> Unmoved | None:
        """Return why V2 has no body, where that is recorded about V1's revision by this conversion or a newer one."""
        if seen is None or seen.revision != truth.revision or seen.conv < self.migration.revision:
            return None
        return seen.unmoved

    def _checked(self, converted: Any, cls: type[T], id: Any, direction: Direction) -> T:
        if not isinstance(converted, cls):
            wrong = TypeError(f"{direction} returned {type(converted).__name__}; return {cls.__name__}")
            raise ConversionError(id, direction, wrong, line=self._defined(direction))
        if getattr(converted, self.migration.id_field) != id:
            changed = ValueError(f"{direction} changed the id; keep it")
            raise ConversionError(id, direction, changed, self.migration.id_field, self._defined(direction))
        return converted

    def _defined(self, direction: Direction) -> str:
        return find_definition(self.migration.upgrade if direction == "upgrade" else self.migration.downgrade)

    def v1_changes(
        self, before: Document, after: Document, truth: StoredV1 | None, *, replacing: bool = False
    ) -> V1Changes | None:
        """Return what to change in V1's document so that `before` becomes `after`; None if it must be read first.

        `replacing`: `after` has every field of the class, so the stored document need not be readable.
        """
        if truth is None:
            return None if must_read_v1(self.v1, before, after) else find_v1_changes(self.v1, before, after, None)
        find = partial(find_v1_changes, self.v1, before, after, replacing=replacing)
        return attempt(decode_id(truth.id), "read", find, truth.document, "V1")

    def v1_rewrite(self, truth: StoredV1) -> V1Changes | None:
        """Return what stores V1's document in the newest version, and None where it is that or newer."""
        chain = self.migration.upcasters
        if chain is None:
            return None
        check_revision(truth, self.carried.revision)
        return attempt(decode_id(truth.id), "read", partial(find_rewrite, self.v1, chain), truth.document, "V1")

    def v1_before(self, entity: V1, direction: Direction = "downgrade") -> Fields:
        """Return the document of a stored V1 entity, without its version. For comparison, so it is not checked."""
        document = attempt(getattr(entity, self.migration.id_field), direction, self.v1.encode, entity)
        if self.migration.upcasters is not None:
            document.pop(self.migration.upcasters.field, None)
        return document

    def v2_before(self, entity: V2, direction: Direction = "upgrade") -> dict[str, object]:
        """Return the body of a V2 entity for comparison. It is not checked."""
        return attempt(getattr(entity, self.migration.id_field), direction, self.v2.encode, entity)

    def v1_document(self, entity: V1, direction: Direction = "downgrade") -> Fields:
        """Return a V1 entity as a document without `_id`, checked to be read back as the same entity."""
        return attempt(getattr(entity, self.migration.id_field), direction, self._encode_v1, entity)

    def _encode_v1(self, entity: V1) -> Fields:
        document = self.v1.encode_exactly(entity)
        if not self.carried.holds(document):
            raise Rejected("none of the attributes would be stored, so V1 would not hold the entity; store one as null")
        return document

    def v2_body(self, entity: V2, direction: Direction = "upgrade") -> Fields:
        """Return a V2 entity as a body without `_id`, checked to be read back as the same entity."""
        return attempt(getattr(entity, self.migration.id_field), direction, self.v2.encode_exactly, entity)

    def v2_stored(self, made: V2 | Unmoved) -> Body:
        """Return what V2 stores of a conversion: a body, checked as by `v2_body`, or why there is none."""
        return made if isinstance(made, Unmoved) else self.v2_body(made)

    def is_same_v2(self, one: V2 | Unmoved, other: V2 | Unmoved) -> bool:
        """Return whether two entities have the same stored bytes. NaN equals itself, and 1 differs from 1.0."""
        if isinstance(one, Unmoved) or isinstance(other, Unmoved):
            return one == other
        return bson.encode(self.v2.encode(one)) == bson.encode(self.v2.encode(other))

    def v2_document(
        self, id: Any, made: V2 | Unmoved, revision: int, by: By, *, compare: bool = False
    ) -> tuple[Fields, bytes]:
        """Return the V2 document of a lazy migration, and its BSON. Encoding it checks that BSON can hold it.

        With `compare`, it is also read back and compared, like every write of a client.
        """
        body: Body | None = made if isinstance(made, Unmoved) else None
        if body is None:
            body = attempt(decode_id(id), "upgrade", self.v2.encode_exactly if compare else self.v2.encode, made)
        document = born_clean(id, body, revision, by, self.migration.revision)
        return document, attempt(decode_id(id), "upgrade", bson.encode, document)

    def raw_id(self, id: Any) -> Any:
        """Return an id in the form that is stored in `_id`. Raises `TypeError` if it cannot be an id."""
        self.migration.check_id(id)
        return raw_id(id)

    def raw_id_of(self, entity: Any, cls: type) -> Any:
        """Return an entity's id in the form stored in `_id`. Raises `TypeError` unless the entity is a `cls`."""
        if not isinstance(entity, cls):
            raise TypeError(f"pass an instance of {cls.__name__}, not of {type(entity).__name__}")
        return self.raw_id(getattr(entity, self.migration.id_field))


def conversions_for(migration: Migration[V1, V2], *, v1_aware: bool, v2_aware: bool) -> Conversions[V1, V2]:
    """Bind the conversions of a migration to its clients. The flags are the clients' `tz_aware` options."""
    id_field, chain = migration.id_field, migration.upcasters
    v1 = codec_for(migration.v1, id_field, migration.v1_converter, tz_aware=v1_aware, upcasters=chain)
    v2 = codec_for(migration.v2, id_field, migration.v2_converter, tz_aware=v2_aware)
    return Conversions(migration, v1, v2, Carried.part(migration.name, v1.fields) if migration.part else WHOLE)
