"""Storing one of V1's older documents in the newest version, in place. Its content stays, and its revision rises."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from attrs import evolve, frozen

from lazymig.errors import NotFound
from lazymig.protocol.edits import Base, Change, ClientEdit
from lazymig.protocol.renewals import Keep
from lazymig.shapes.conversions import Conversions
from lazymig.stores.given import RawId
from lazymig.stores.records import StoredV2

V1 = TypeVar("V1")
V2 = TypeVar("V2")


class _UpToDate(Exception):
    """The document is no longer of an older version: a client wrote it."""


@frozen
class _Rewrite(Generic[V1, V2]):
    """Stores V1's document in the newest version, with V2's body as it is, or V1's conversion."""

    conversions: Conversions[V1, V2]
    #: Whether V2's body is stored as well.
    both: bool
    needs_truth: bool = True
    needs_entity: bool = False

    async def decide(self, base: Base) -> Change:
        assert base.truth is not None  # needs_truth
        found = self.conversions.v1_rewrite(base.truth)
        if found is None:
            raise _UpToDate
        kept = await Keep(self.conversions).decide(base) if self.both else Change({}, [], {})
        return evolve(
            kept, v1_set=found.changed, v1_unset=found.vanished, v1_within=found.within, v1_held=found.held
        )  # fmt: skip

    async def decide_alone(self, seen: StoredV2) -> Change:
        raise _UpToDate  # V1 is written no more: there is nothing to bring up


async def rewrite(
    conversions: Conversions[V1, V2],
    id: RawId,
    write: Callable[[RawId, ClientEdit], Awaitable[Change | None]],
    *,
    both: bool,
) -> bool:
    """Store an older document in the newest version by a phase's way of writing. False: that is no longer needed.

    A write ends either in V1's compare-and-set or in an error, after which nothing was written. Raises what the write
    raises, and `ConversionError`.
    """
    try:
        await write(id, _Rewrite(conversions, both))
    except (_UpToDate, NotFound):
        return False
    return True
