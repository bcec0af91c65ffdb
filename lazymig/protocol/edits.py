"""Edits decide what a write stores, from what is stored now. Nothing here sends a statement.

An edit decides again, from what is stored then, each time the write loses a race.
"""

from __future__ import annotations

import enum
import inspect
from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import Any, Generic, Literal, NamedTuple, Protocol, TypeVar

from attrs import frozen

from lazymig.errors import ConversionError, NotFound
from lazymig.shapes.codec import Codec
from lazymig.shapes.conversions import Conversions
from lazymig.shapes.leaving import check_moved, expect
from lazymig.shapes.migration import get_downgrading
from lazymig.shapes.v1_changes import V1Changes
from lazymig.stores.documents import decode_id
from lazymig.stores.given import RawId
from lazymig.stores.records import Body, Document, Fields, StoredV1, StoredV2, Unmoved

V1 = TypeVar("V1")
V2 = TypeVar("V2")
E = TypeVar("E")


class Base(NamedTuple):
    """What a write starts from.

    `seen` is V2's document. `truth` is V1's document, None where V2 was clean and V1 was not read. `entity` is V2's
    decoded body, where that is V1's present revision. Without `trust_v2` the body only counts as the previous entity,
    even where its revision is V1's. `keeps_v2`: the write stores V2's body. `check` raises `ConversionError` for a
    change that cannot be stored over this.
    """

    seen: StoredV2 | None
    truth: StoredV1 | None
    entity: Any = None
    trust_v2: bool = True
    keeps_v2: bool = True
    check: Callable[[Change], object] | None = None

    @property
    def id(self) -> RawId:
        """The entity's id."""
        return self.truth.id if self.truth is not None else self.seen.id if self.seen is not None else None

    @property
    def revision(self) -> int:
        """V1's revision: what the compare-and-set expects."""
        if self.truth is not None:
            return self.truth.revision
        assert self.seen is not None  # without either there is nothing to write
        return self.seen.revision

    @property
    def holds_truth(self) -> bool:
        """Whether V2's body was made from V1's present revision, even if a write was announced since."""
        seen = self.seen
        if seen is None or seen.gone or not self.trust_v2:
            return False
        return self.truth is None or seen.revision == self.truth.revision


@frozen
class Change:
    """What to store: V1's fields to set and unset, V2's whole body or why it gets none, and the caller's entity.

    `v1_within` are the paths of V1's sub-documents that must exist for that. Where one does not, the attempt counts as
    a lost race: V1's document, which is read then, shows which fields to set as a whole.
    """

    v1_set: Fields
    v1_unset: list[str]
    v2_body: Body
    entity: Any = None
    v1_within: Sequence[str] = ()
    #: The revision of the conversion that made V2's body, where that is not this migration's.
    conv: int | None = None
    #: Values that V1 must still have, by their paths. Where it has others, the attempt counts as a lost race.
    v1_held: Document | None = None
    #: V1's document before and after, as the class stores it, where several changes may become one.
    v1_before: Fields | None = None
    v1_after: Fields | None = None
    #: Called where the store refuses this change, so that nothing of it is stored.
    refused: Callable[[], None] | None = None

    @classmethod
    def of(cls, found: V1Changes, v2_body: Body, entity: object, before: Fields, after: Fields) -> Change:
        """Return the change of V1's document from `before` to `after`, as it was found."""
        return cls(
            found.changed, found.vanished, v2_body, entity, found.within, v1_held=found.held, v1_before=before,
            v1_after=after,
        )  # fmt: skip

    def note_refusal(self) -> None:
        """Note that the store refuses the change, and that nothing of it is stored."""
        if self.refused is not None:
            self.refused()


class More(enum.Enum):
    """What an edit needs before it can decide."""

    TRUTH = enum.auto()


class Edit(Protocol):
    """Decides what to store."""

    @property
    def needs_truth(self) -> bool:
        """Whether V1's document must be read even where V2 is clean."""

    @property
    def needs_entity(self) -> bool:
        """Whether the stored entity must be readable."""

    async def decide(self, base: Base) -> Change | Literal[More.TRUTH] | None:
        """Return the change to make, None to delete, or `More.TRUTH` where V1's document must be read first."""


class ClientEdit(Edit, Protocol):
    """An edit that a client asks for. It can also be decided where V2 is the only truth."""

    async def decide_alone(self, seen: StoredV2) -> Change | None:
        """Return the change to V2's body, which is live, or None to delete. V1's part of the change is empty."""


async def make_v2(
    conversions: Conversions[Any, V2], base: Base, *, storing: bool = True, seen_later: bool = False
) -> V2 | Unmoved:
    """Return the entity in V2's type, or why there is none.

    This is V2's body where that was made from V1's present revision and may answer, because it may hold fields that V1
    cannot express. Otherwise it is V1's entity, converted.
    """
    if base.entity is not None:
        entity: V2 = base.entity
        return entity
    if base.holds_truth and base.seen is not None:
        trusted = conversions.trusted(base.seen)
        if trusted is not None:
            return trusted
    assert base.truth is not None  # without a body that may answer, V1 was read
    return await conversions.upgraded(base.truth, base.seen, storing=storing, seen_later=seen_later)


async def check_known(conversions: Conversions[V1, V2], base: Base) -> None:
    """Raise `NotFound` if V2's door does not know the entity, because `upgrade` leaves it.

    An entity that does not convert is known: V2's door can replace and delete it.
    """
    try:
        made = await make_v2(conversions, base)
    except ConversionError:
        return
    if isinstance(made, Unmoved) and made.why == "left":
        raise NotFound(decode_id(base.id))


async def _call_change(function: Callable[[E], Any], entity: E, codec: Codec[E], shares: bool) -> E:
    id = getattr(entity, codec.id_field)
    # A copy, where the entity shares parts with a stored document: the function may alter it in place.
    result = function(deepcopy(entity) if shares else entity)
    if inspect.isawaitable(result):
        result = await result
    if not isinstance(result, codec.cls):
        raise TypeError(f"change returned {type(result).__name__}; return the changed {codec.cls.__name__}")
    if getattr(result, codec.id_field) != id:
        raise ValueError(f"change altered {codec.id_field!r}; an entity keeps its id: insert a new one instead")
    return result


@frozen
class UpdateV2(Generic[V1, V2]):
    """Changes an entity in V2's type by the caller's function."""

    conversions: Conversions[V1, V2]
    change: Callable[[V2], Any]
    needs_entity: bool = True

    @property
    def needs_truth(self) -> bool:
        return get_downgrading(self.conversions.migration).takes_other

    async def decide(self, base: Base) -> Change | Literal[More.TRUTH]:
        conversions = self.conversions
        made = await make_v2(conversions, base)
        before = expect(base.id, made)
        current = conversions.v1_entity(base.truth) if base.truth is not None and self.needs_truth else None
        # Downgraded before `change` is called, which may alter a mutable entity in place.
        v1_before = conversions.v1_before(await conversions.downgrade(before, current))
        # A conversion may pass on values that are parts of V1's document.
        shares = conversions.v1.shares or conversions.v2.shares
        after = await _call_change(self.change, before, conversions.v2, shares)
        v1_after = conversions.v1_document(await conversions.downgrade(after, current))
        found = conversions.v1_changes(v1_before, v1_after, base.truth)
        if found is None:
            return More.TRUTH
        return Change.of(found, conversions.v2_body(after, "downgrade"), after, v1_before, v1_after)

    async def decide_alone(self, seen: StoredV2) -> Change:
        conversions = self.conversions
        after = await _call_change(self.change, conversions.v2_entity(seen), conversions.v2, conversions.v2.shares)
        return Change({}, [], conversions.v2_body(after, "downgrade"), after)


@frozen
class UpdateV1(Generic[V1, V2]):
    """Changes an entity in V1's type by the caller's function."""

    conversions: Conversions[V1, V2]
    change: Callable[[V1], Any]
    needs_truth: bool = True
    needs_entity: bool = False

    async def decide(self, base: Base) -> Change:
        conversions = self.conversions
        assert base.truth is not None  # needs_truth
        before = conversions.v1_entity(base.truth)
        v1_before = conversions.v1_before(before, "upgrade")
        after = await _call_change(self.change, before, conversions.v1, conversions.v1.shares)
        v1_after = conversions.v1_document(after, "upgrade")
        v2_after = await conversions.upgrade(after, conversions.previous(base.seen, base.truth), base.seen)
        found = conversions.v1_changes(v1_before, v1_after, base.truth)
        assert found is not None  # V1 was read
        return Change.of(found, conversions.v2_stored(v2_after), after, v1_before, v1_after)

    async def decide_alone(self, seen: StoredV2) -> Change:
        conversions = self.conversions
        stored = conversions.v2_entity(seen)
        before = await conversions.downgrade(stored, None)
        # The entity that V2 holds is compared with later, so `change` gets an entity of its own.
        after = await _call_change(self.change, before, conversions.v1, True)
        conversions.v1_document(after, "upgrade")
        v2_after = check_moved(seen.id, await conversions.upgrade(after, stored))
        return Change({}, [], conversions.v2_body(v2_after), after)


@frozen
class DeleteV2(Generic[V1, V2]):
    """Deletes the entity by V2's door, which does not know one that is left."""

    conversions: Conversions[V1, V2]
    needs_truth: bool = False
    #: Where V2's body does not answer, V1's entity must be converted.
    needs_entity: bool = True

    async def decide(self, base: Base) -> None:
        await check_known(self.conversions, base)

    async def decide_alone(self, seen: StoredV2) -> None:
        return None


@frozen
class Delete:
    """Deletes the entity."""

    needs_truth: bool = False
    needs_entity: bool = False

    async def decide(self, base: Base) -> None:
        return None

    async def decide_alone(self, seen: StoredV2) -> None:
        return None
