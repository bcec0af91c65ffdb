"""The two shapes of one entity: decoding, the user's conversions, encoding, each failure a `ConversionError`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from copy import deepcopy
from typing import Any, Generic, TypeVar

import bson
from attrs import frozen

from lazymig.errors import ConversionError, Direction, LazymigError, Side
from lazymig.shapes.annotations import fields_of
from lazymig.shapes.codec import Codec, codec_for, failure_path, leaf_error
from lazymig.shapes.entities import refused_path
from lazymig.shapes.migration import Migration
from lazymig.shapes.signatures import Conversion
from lazymig.stores.documents import META_FIELD, By, born_clean, check_revision, decode_id, raw_id
from lazymig.stores.records import StoredV1, StoredV2
from lazymig.user_code import find_definition, find_raising_line

V1 = TypeVar("V1")
V2 = TypeVar("V2")
T = TypeVar("T")

_NONE_GIVEN: Any = object()


def _unreadable(conv: int) -> LazymigError:
    return LazymigError(
        f"V2's stored body of conversion revision {conv} does not decode, and `upgrade` needs what only it holds: "
        f"pass Migration(revision=..., reshape={{{conv}: f}})"
    )


@frozen
class Conversions(Generic[V1, V2]):
    """A migration's conversions, bound to the way its two clients return documents."""

    migration: Migration[V1, V2]
    v1: Codec[V1]
    v2: Codec[V2]

    def v1_entity(self, stored: StoredV1) -> V1:
        """V1's document as an entity."""
        check_revision(stored)
        return _attempted(decode_id(stored.id), "read", self.v1.decode, stored.document, "V1")

    def v2_entity(self, stored: StoredV2) -> V2:
        """V2's body as an entity. The document must not be gone."""
        return _attempted(decode_id(stored.id), "read", self.v2.decode, stored.document, "V2")

    def is_current(self, seen: StoredV2) -> bool:
        """Whether V2's document is clean and its body of this conversion, or of a newer one: it answers alone."""
        return seen.clean and seen.conv >= self.migration.revision

    def is_newer(self, seen: StoredV2) -> bool:
        """Whether a newer release made V2's body."""
        return seen.conv > self.migration.revision

    def must_leave(self, seen: StoredV2, truth: StoredV1) -> bool:
        """Whether V2's body is a newer release's and behind V1, and holds what only that release can carry on."""
        behind = seen.revision < truth.revision and not seen.gone
        return behind and self.is_newer(seen) and self.migration.upgrading.takes_other

    def trusted(self, seen: StoredV2) -> V2 | None:
        """The entity of a live V2 document, if it may answer; None: V1 must be asked.

        A body of an older conversion may not, and one that no longer decodes cannot: another class made it, and V1
        has what it was made from.
        """
        if seen.conv < self.migration.revision:
            return None
        try:
            return self.v2_entity(seen)
        except ConversionError:
            return None

    def previous(
        self, seen: StoredV2 | None, truth: StoredV1, *, storing: bool = True, seen_later: bool = False
    ) -> V2 | None:
        """V2's last body of the same life, for an `upgrade` that keeps what V1 cannot express.

        Raises `ConversionError` where it cannot be read: what only V2 holds would be dropped. Where nothing is to be
        stored, a body that a newer release made counts as none. `seen_later`: V2 was read after V1.
        """
        if seen is None or seen.gone or not self.migration.upgrading.takes_other:
            return None
        # An insert came after the body, and V1 may hold that one's entity by now: not where V1 still is at the body's
        # own revision, which no entity of another life ever has.
        if seen.revision != truth.revision and any(ticket <= truth.revision for ticket in seen.inserts):
            return None
        # Ahead of V1: a body that a writer of a deleted entity brought late. Without a revision V1 was replaced by
        # somebody who does not know lazymig.
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
                error.id, error.direction, _unreadable(seen.conv), error.path, error.line, error.side
            ) from None

    def _reshaped(self, seen: StoredV2, reshape: Callable[[dict[str, Any]], V2]) -> V2:
        id = decode_id(seen.id)
        body = {name: deepcopy(value) for name, value in seen.document.items() if name != META_FIELD} | {"_id": id}
        try:
            entity = reshape(body)
        except Exception as error:
            failure = _failure(id, "read", error, "V2")
        else:
            return self._checked(entity, self.migration.v2, id, "read")
        raise failure

    async def upgraded(
        self, stored: StoredV1, seen: StoredV2 | None, *, storing: bool = True, seen_later: bool = False
    ) -> V2:
        """V1's document as a V2 entity, by the rules of `previous`."""
        previous = self.previous(seen, stored, storing=storing, seen_later=seen_later)
        return await self.upgrade(self.v1_entity(stored), previous)

    async def upgrade(self, entity: V1, previous: V2 | None) -> V2:
        """A V1 entity as a V2 entity, of the right class and with the same id."""
        return await self._converted(self.migration.upgrading, "upgrade", entity, previous, self.migration.v2)

    async def downgrade(self, entity: V2, current: V1 | None) -> V1:
        """A V2 entity as a V1 entity, of the right class and with the same id."""
        return await self._converted(self.migration.downgrading, "downgrade", entity, current, self.migration.v1)

    async def _converted(
        self, conversion: Conversion, direction: Direction, entity: Any, other: Any, cls: type[T]
    ) -> T:
        id = getattr(entity, self.migration.id_field)
        try:
            converted = _called(conversion, id, direction, (entity, other), cls)
            if conversion.is_async:
                converted = await converted
        except ConversionError as error:
            if (failure := _swapped(error, entity, cls)) is None:
                raise
        else:
            return self._checked(converted, cls, id, direction)
        raise failure

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

    def v1_before(self, entity: V1, direction: Direction = "downgrade") -> dict[str, Any]:
        """The document of a V1 entity that stands already: to compare with, not to store, so not checked again."""
        return _attempted(getattr(entity, self.migration.id_field), direction, self.v1.encode, entity)

    def v1_document(self, entity: V1, direction: Direction = "downgrade") -> dict[str, Any]:
        """A V1 entity as a document without `_id`: valid BSON that is read back as the same entity."""
        return _attempted(getattr(entity, self.migration.id_field), direction, self.v1.encode_exactly, entity)

    def v2_body(self, entity: V2, direction: Direction = "upgrade") -> dict[str, Any]:
        """A V2 entity as a body without `_id`: valid BSON that is read back as the same entity."""
        return _attempted(getattr(entity, self.migration.id_field), direction, self.v2.encode_exactly, entity)

    def is_same_v2(self, one: V2, other: V2) -> bool:
        """Whether two entities are stored as the same bytes: NaN is itself, and 1 is not 1.0."""
        return bson.encode(self.v2.encode(one)) == bson.encode(self.v2.encode(other))

    def v2_document(
        self, id: Any, entity: V2, revision: int, by: By, *, compare: bool = False
    ) -> tuple[dict[str, Any], bytes]:
        """The V2 document of a lazy migration, and the same as BSON: encoding it is the check.

        With `compare`, it is also read back and compared, like everything that a client writes.
        """
        body = _attempted(decode_id(id), "upgrade", self.v2.encode_exactly if compare else self.v2.encode, entity)
        document = born_clean(id, body, revision, by, self.migration.revision)
        return document, _attempted(decode_id(id), "upgrade", bson.encode, document)

    def raw_id(self, id: Any) -> Any:
        """A checked id as it stands in `_id`. Raises `TypeError` for anything else, before a driver sees it."""
        self.migration.check_id(id)
        return raw_id(id)

    def raw_id_of(self, entity: Any, cls: type) -> Any:
        """The id of an entity as it stands in `_id`. Raises `TypeError` unless it is an instance of `cls`."""
        if not isinstance(entity, cls):
            raise TypeError(f"pass an instance of {cls.__name__}, not of {type(entity).__name__}")
        return self.raw_id(getattr(entity, self.migration.id_field))


def conversions_for(migration: Migration[V1, V2], *, v1_aware: bool, v2_aware: bool) -> Conversions[V1, V2]:
    """The conversions of a migration; the flags are the two clients' `tz_aware`."""
    return Conversions(
        migration,
        codec_for(migration.v1, migration.id_field, migration.v1_converter, tz_aware=v1_aware),
        codec_for(migration.v2, migration.id_field, migration.v2_converter, tz_aware=v2_aware),
    )


def _swapped(error: ConversionError, entity: Any, cls: type) -> ConversionError | None:
    """A conversion that reads what only the other class has was meant for that one."""
    cause = error.cause
    if not isinstance(cause, AttributeError) or cause.obj is not entity or cause.name not in fields_of(cls):
        return None
    given = type(entity).__name__
    text = (
        f"it was given {given} and reads {cause.name!r}, which {cls.__name__} has: are upgrade and downgrade swapped?"
    )
    return ConversionError(error.id, error.direction, TypeError(text).with_traceback(cause.__traceback__), error.path)


def _called(conversion: Conversion, id: Any, direction: Direction, given: tuple[Any, Any], cls: type) -> Any:
    """The result, or for an async conversion an awaitable of it."""
    try:
        result = conversion.function(*given) if conversion.takes_other else conversion.function(given[0])
    except Exception as error:
        failure = _failure(id, direction, error, cls=cls)
    else:
        return _awaited(result, id, direction, cls) if conversion.is_async else result
    raise failure


async def _awaited(result: Awaitable[Any], id: Any, direction: Direction, cls: type) -> Any:
    try:
        return await result
    except Exception as error:
        failure = _failure(id, direction, error, cls=cls)
    raise failure


def _attempted(id: Any, direction: Direction, function: Callable[[Any], T], value: Any, side: Side = "") -> T:
    try:
        return function(value)
    except Exception as error:
        failure = _failure(id, direction, error, side)
    # Outside of the handler, so that the cause is not its context either: it may quote the document, and a logged
    # traceback or a pickled error would show it.
    raise failure


def _failure(
    id: Any, direction: Direction, error: Exception, side: Side = "", cls: type | None = None
) -> ConversionError:
    """The error; `cls` is the class of which a conversion was to make an entity."""
    path = failure_path(error) or (refused_path(error, cls) if cls is not None else "")
    # The line by the group that was raised: its first error may come from a library alone.
    return ConversionError(id, direction, leaf_error(error), path, find_raising_line(error), side)
