"""Judging one entity: its two sides, as one read each found them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, Generic, TypeAlias, TypeVar

from attrs import frozen

from lazymig.comparing.checks import Comparison
from lazymig.comparing.comparer import Comparer
from lazymig.errors import ForeignDocument
from lazymig.stores.given import RawId
from lazymig.stores.records import StoredV1, StoredV2, WholeChange
from lazymig.stores.verdicts import Verdict

V1 = TypeVar("V1")
V2 = TypeVar("V2")

#: V2's side of an entity: its document, one that lazymig did not store, or nothing.
Seen: TypeAlias = StoredV2 | ForeignDocument | None
_FOREIGN: Final = Comparison(
    Verdict.UNKNOWN,
    reason="lazymig did not store V2's document; lazymig sweep --adopt replaces it",
    signature="foreign",
)


@frozen
class Judged:
    """What a comparison of one entity found."""

    id: RawId
    comparison: Comparison
    #: The revisions of both sides; None where one lacks the entity.
    revision: int | None = None
    v2_revision: int | None = None
    #: Whether one of the two sides holds the entity.
    held: bool = True
    #: Where V2's part is behind in one document: the statement that stores it.
    late: WholeChange | None = None


#: Judges what both sides hold of an entity.
Judge: TypeAlias = Callable[[StoredV1 | None, Seen], Awaitable[Judged]]


@frozen
class TwoSides(Generic[V1, V2]):
    """Judges a document of V1 and one of V2."""

    comparer: Comparer[V1, V2]

    async def judge(self, truth: StoredV1 | None, seen: Seen) -> Judged:
        """Compare both documents."""
        held = truth is not None or not (isinstance(seen, StoredV2) and seen.gone)
        revision = None if truth is None else truth.revision
        if isinstance(seen, ForeignDocument):
            return Judged(seen.id if truth is None else truth.id, _FOREIGN, revision, None, held)
        comparison = await self.comparer.compare(truth, seen)
        id = truth.id if truth is not None else None if seen is None else seen.id
        return Judged(id, comparison, revision, None if seen is None else seen.revision, held)
