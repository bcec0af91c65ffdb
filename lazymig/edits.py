"""What a write wants to store, decided from what stands: no statement is sent from here.

An edit is asked again whenever the write lost a race, with what stands then.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from attrs import frozen

from lazymig.codec import changes
from lazymig.conversions import Conversions
from lazymig.records import StoredV1, StoredV2

V1 = TypeVar("V1")
V2 = TypeVar("V2")
E = TypeVar("E")


class Base(NamedTuple):
    """What a write starts from.

    `seen` is V2's document, and `truth` V1's, None where V2 was clean and V1 need not be asked.
    """

    seen: StoredV2 | None
    truth: StoredV1 | None

    @property
    def revision(self) -> int:
        """V1's revision: what the compare-and-set expects."""
        if self.truth is not None:
            return self.truth.revision
        assert self.seen is not None  # one of the two stands, or there is nothing to write
        return self.seen.revision


@frozen
class Change:
    """What to store: V1's fields to set and unset, V2's whole body, and the entity that the caller gets.

    `v1_within` are V1's sub-documents that must stand for that; one that does not is a race lost, and V1's document,
    which is read then, tells what to set whole.
    """

    v1_set: dict[str, Any]
    v1_unset: list[str]
    v2_body: dict[str, Any]
    entity: Any = None
    v1_within: Sequence[str] = ()


class Edit(Protocol):
    """Decides what to store."""

    @property
    def needs_truth(self) -> bool:
        """Whether V1's document must be read even where V2 is clean."""

    async def decide(self, base: Base) -> Change | None:
        """The change to make, or None to delete."""


async def v2_of(conversions: Conversions[Any, V2], base: Base) -> V2:
    """The entity in V2's type.

    V2's body wherever it was made from V1's present revision (it may hold fields that V1 cannot express), whether or
    not a write has been announced since; otherwise V1's, converted.
    """
    seen, truth = base.seen, base.truth
    if seen is not None and not seen.gone and (truth is None or seen.revision == truth.revision):
        return conversions.v2_entity(seen)
    assert truth is not None  # a write without a clean V2 document has read V1
    return await conversions.upgraded(truth, seen)


async def _result(function: Callable[[E], Any], entity: E, cls: type[E], id_field: str) -> E:
    result = function(entity)
    if inspect.isawaitable(result):
        result = await result
    if not isinstance(result, cls):
        raise TypeError(f"change returned {type(result).__name__}; return the changed {cls.__name__}")
    if getattr(result, id_field) != getattr(entity, id_field):
        raise ValueError(f"change altered {id_field!r}; an entity keeps its id: insert a new one instead")
    return result


@frozen
class UpdateV2(Generic[V1, V2]):
    """A change made in V2's type."""

    conversions: Conversions[V1, V2]
    change: Callable[[V2], Any]

    @property
    def needs_truth(self) -> bool:
        return self.conversions.migration.downgrading.takes_other

    async def decide(self, base: Base) -> Change:
        conversions, migration = self.conversions, self.conversions.migration
        before = await v2_of(conversions, base)
        current = conversions.v1_entity(base.truth) if base.truth is not None and self.needs_truth else None
        # Downgraded first: `change` may alter a mutable entity in place.
        v1_before = conversions.v1_before(await conversions.downgrade(before, current))
        after = await _result(self.change, before, migration.v2, migration.id_field)
        v1_after = conversions.v1_document(await conversions.downgrade(after, current))
        stored = None if base.truth is None else base.truth.document
        v1_set, v1_unset, within = changes(v1_before, v1_after, stored)
        return Change(v1_set, v1_unset, conversions.v2_body(after, "downgrade"), after, within)


@frozen
class UpdateV1(Generic[V1, V2]):
    """A change made in V1's type, by a client that still speaks it."""

    conversions: Conversions[V1, V2]
    change: Callable[[V1], Any]
    needs_truth: bool = True

    async def decide(self, base: Base) -> Change:
        conversions, migration = self.conversions, self.conversions.migration
        assert base.truth is not None  # needs_truth
        before = conversions.v1_entity(base.truth)
        v1_before = conversions.v1_before(before, "upgrade")
        after = await _result(self.change, before, migration.v1, migration.id_field)
        v1_after = conversions.v1_document(after, "upgrade")
        v2_after = await conversions.upgrade(after, conversions.previous(base.seen))
        v1_set, v1_unset, within = changes(v1_before, v1_after, base.truth.document)
        return Change(v1_set, v1_unset, conversions.v2_body(v2_after), after, within)


@frozen
class Keep(Generic[V1, V2]):
    """No change: V1's content again, at a new revision."""

    conversions: Conversions[V1, V2]
    #: Whether V2's body is taken where its revision is V1's; else it counts only as the previous one.
    trust_v2: bool = True
    needs_truth: bool = True

    async def decide(self, base: Base) -> Change:
        assert base.truth is not None  # needs_truth
        if self.trust_v2:
            entity = await v2_of(self.conversions, base)
        else:
            entity = await self.conversions.upgraded(base.truth, base.seen)
        return Change({}, [], self.conversions.v2_body(entity), entity)


@frozen
class Delete:
    """Nothing shall stand."""

    needs_truth: bool = False

    async def decide(self, base: Base) -> None:
        return None


async def insert_v2(conversions: Conversions[V1, V2], entity: V2) -> Change:
    """A new entity given in V2's type."""
    v1 = await conversions.downgrade(entity, None)
    return Change(conversions.v1_document(v1), [], conversions.v2_body(entity, "downgrade"), entity)


async def insert_v1(conversions: Conversions[V1, V2], entity: V1) -> Change:
    """A new entity given in V1's type."""
    document = conversions.v1_document(entity, "upgrade")
    v2 = await conversions.upgrade(entity, None)
    return Change(document, [], conversions.v2_body(v2), entity)
