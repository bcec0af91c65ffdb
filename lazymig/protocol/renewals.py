"""Edits that keep the content: those of lazymig itself, which give V1 a new revision and V2 its body."""

from __future__ import annotations

from typing import Generic, TypeVar

from attrs import frozen

from lazymig.protocol.edits import Base, Change
from lazymig.shapes.conversions import Conversions
from lazymig.stores.documents import body_of
from lazymig.stores.records import StoredV1

V1 = TypeVar("V1")
V2 = TypeVar("V2")


@frozen
class Keep(Generic[V1, V2]):
    """Keeps the content and gives it a new revision."""

    conversions: Conversions[V1, V2]
    needs_truth: bool = True
    needs_entity: bool = False

    async def decide(self, base: Base) -> Change:
        conversions = self.conversions
        assert base.truth is not None  # needs_truth
        seen = base.seen if base.holds_truth else None
        if seen is not None and (conversions.is_newer(seen) or conversions.trusted(seen) is not None):
            # The body as it is stored: decoding and encoding would drop what a newer release stored in it.
            return Change({}, [], body_of(seen), conv=seen.conv)
        entity = await conversions.upgraded(base.truth, base.seen)
        return Change({}, [], conversions.v2_stored(entity), entity)


@frozen
class Restore(Generic[V1, V2]):
    """Keeps the content, and gives V2 the body of the write that V1 took at `ticket`, where V2 did not take that body.

    Where V1 holds another write by now, or V2 has got a body of V1's revision, it does what `Keep` does.
    """

    conversions: Conversions[V1, V2]
    ticket: int
    change: Change
    needs_truth: bool = True
    needs_entity: bool = False

    async def decide(self, base: Base) -> Change:
        assert base.truth is not None  # needs_truth
        if not self.brings(base.truth) or base.holds_truth:
            return await Keep(self.conversions).decide(base)
        return Change({}, [], self.change.v2_body, conv=self.change.conv)

    def brings(self, truth: StoredV1) -> bool:
        """Whether V1 holds the write whose body this is. No other write of V1 has its revision."""
        return truth.revision == self.ticket


@frozen
class Renew(Generic[V1, V2]):
    """Keeps V1's content, gives it a new revision, and makes V2's body from it, whatever V2 holds now.

    `Keep` trusts a body that is at V1's revision. Here another program may have changed V1 without a new revision, or
    V2's body is known to be wrong: it only counts as the previous entity. With `same_life` it also does where its
    revision is above V1's: a program set that back.
    """

    conversions: Conversions[V1, V2]
    same_life: bool = False
    needs_truth: bool = True
    needs_entity: bool = False

    async def decide(self, base: Base) -> Change:
        assert base.truth is not None  # needs_truth
        entity = await self.conversions.upgraded(base.truth, base.seen, seen_later=self.same_life)
        return Change({}, [], self.conversions.v2_stored(entity), entity)
