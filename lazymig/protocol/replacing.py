"""Edits that replace the whole entity. Nothing here sends a statement."""

from __future__ import annotations

from typing import Generic, Literal, TypeVar

from attrs import frozen

from lazymig.errors import AlreadyExists, ConversionError, NotFound
from lazymig.protocol.edits import Base, Change, More, check_known, make_v2
from lazymig.shapes.conversions import Conversions
from lazymig.shapes.leaving import check_moved
from lazymig.shapes.migration import get_downgrading
from lazymig.stores.documents import decode_id
from lazymig.stores.records import Fields, StoredV1, StoredV2, Unmoved

V1 = TypeVar("V1")
V2 = TypeVar("V2")


def _decode_standing(conversions: Conversions[V1, V2], truth: StoredV1) -> tuple[V1 | None, Fields]:
    """Return V1's entity and the document to compare with; if unreadable, None and its known fields as stored."""
    try:
        entity = conversions.v1_entity(truth)
        return entity, conversions.v1_before(entity)
    except ConversionError:
        return None, {name: value for name, value in truth.document.items() if name in conversions.v1.fields}


@frozen
class ReplaceV2(Generic[V1, V2]):
    """Replaces the stored entity, which may be unreadable, by one in V2's type."""

    conversions: Conversions[V1, V2]
    entity: V2
    needs_entity: bool = True

    @property
    def needs_truth(self) -> bool:
        return get_downgrading(self.conversions.migration).takes_other

    async def decide(self, base: Base) -> Change | Literal[More.TRUTH] | None:
        conversions, truth = self.conversions, base.truth
        if truth is not None:
            await self._check(base)
        try:
            before = await self._before(base) if truth is None else _decode_standing(conversions, truth)[1]
        except ConversionError:
            return More.TRUTH
        current = _decode_standing(conversions, truth)[0] if truth is not None and self.needs_truth else None
        after = conversions.v1_document(await conversions.downgrade(self.entity, current))
        found = conversions.v1_changes(before, after, truth, replacing=True)
        if found is None:
            return More.TRUTH
        return Change.of(found, conversions.v2_body(self.entity, "downgrade"), self.entity, before, after)

    async def decide_alone(self, seen: StoredV2) -> Change:
        return Change({}, [], self.conversions.v2_body(self.entity, "downgrade"), self.entity)

    async def _check(self, base: Base) -> None:
        await check_known(self.conversions, base)

    async def _before(self, base: Base) -> Fields:
        return self.conversions.v1_before(await self.conversions.downgrade(base.entity, None))


@frozen
class Supply(ReplaceV2[V1, V2], Generic[V1, V2]):
    """Gives an entity that waits for its user what V2 lacks. Nobody else's entity is replaced."""

    async def decide(self, base: Base) -> Change | Literal[More.TRUTH] | None:
        if base.truth is None:
            raise AlreadyExists(decode_id(base.id))  # V2 has an entity
        return await super().decide(base)

    async def decide_alone(self, seen: StoredV2) -> Change:
        raise AlreadyExists(decode_id(seen.id))

    async def _check(self, base: Base) -> None:
        made = await make_v2(self.conversions, base)
        if not isinstance(made, Unmoved):
            raise AlreadyExists(decode_id(base.id))
        if made.why == "left":
            raise NotFound(decode_id(base.id))


@frozen
class ReplaceV1(Generic[V1, V2]):
    """Replaces the stored entity, which may be unreadable, by one in V1's type."""

    conversions: Conversions[V1, V2]
    entity: V1
    needs_truth: bool = True
    needs_entity: bool = False

    async def decide(self, base: Base) -> Change:
        conversions, truth = self.conversions, base.truth
        assert truth is not None  # needs_truth
        _, before = _decode_standing(conversions, truth)
        try:
            previous = conversions.previous(base.seen, truth)
        except ConversionError:
            previous = None  # the caller replaces it, so it need not be readable
        v2 = await conversions.upgrade(self.entity, previous, base.seen)
        after = conversions.v1_document(self.entity, "upgrade")
        found = conversions.v1_changes(before, after, truth, replacing=True)
        assert found is not None  # V1 was read
        return Change.of(found, conversions.v2_stored(v2), self.entity, before, after)

    async def decide_alone(self, seen: StoredV2) -> Change:
        conversions = self.conversions
        try:
            previous = conversions.v2_entity(seen)
        except ConversionError:
            previous = None  # the caller replaces it, so it need not be readable
        v2 = check_moved(seen.id, await conversions.upgrade(self.entity, previous))
        return Change({}, [], conversions.v2_body(v2), self.entity)
