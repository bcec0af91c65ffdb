"""Deletes of V1's documents that share a statement, where each has its own outcome.

A bulk reports how many documents it deleted, not which. Nearly always it is all of them. Otherwise V2 shows who can
have deleted a document that is gone: V2 was clean when the delete was announced, so another client's write of the
entity was announced after it. Where V2 is as the announcement left it, there is none. Where others may write V1 without
an announcement, in checked mode and while V2 is suspect, no delete shares a statement (`protocol.writing`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple, TypeAlias

from pymongo import DeleteOne

from lazymig.errors import ForeignDocument
from lazymig.stores.documents import is_raised
from lazymig.stores.drivers import make_error
from lazymig.stores.failures import Outcome, unknown
from lazymig.stores.given import RawId
from lazymig.stores.grouping import GuardedWrites
from lazymig.stores.records import Document, StoredV1, StoredV2

#: Finds the documents of one side as the primary has them; missing ids are left out.
FindV1: TypeAlias = Callable[[Sequence[RawId]], Awaitable[dict[RawId, StoredV1]]]
FindV2: TypeAlias = Callable[[Sequence[RawId]], Awaitable[dict[RawId, StoredV2 | ForeignDocument]]]


class AnnouncedDelete(NamedTuple):
    """A delete of one document: its filter, and V2's document after the announcement, which was clean before it.

    Other deletes cannot share a statement: an earlier announcement may be open, whose writer has yet to delete.
    """

    where: Document
    announced: StoredV2


class SharedDeletes:
    """Deletes many of V1's documents by one statement."""

    def __init__(self, writes: GuardedWrites, find_v1: FindV1, find_v2: FindV2) -> None:
        self._writes = writes
        self._find_v1 = find_v1
        self._find_v2 = find_v2

    async def delete_each(self, deletes: Sequence[AnnouncedDelete]) -> list[Outcome]:
        """Delete each document that its filter matches, durably. False: it matches none, and nothing was deleted.

        Where several of them met writes of other processes, which of these were deleted may not be known. They get the
        driver's `AutoReconnect`, as after a lost connection.
        """
        failures, deleted = await self._writes.send_deletes([DeleteOne(one.where) for one in deletes])
        outcomes: list[Outcome] = [True] * len(deletes)
        for place, failure in failures.items():
            outcomes[place] = make_error(failure)
        sent = [place for place in range(len(deletes)) if place not in failures]
        if deleted < len(sent):
            unclear = await self._find_unclear(deletes, sent)
            # The others were deleted by this statement, which leaves these.
            left = deleted - (len(sent) - len(unclear))
            for place in unclear:
                outcomes[place] = (
                    left > 0 if left in (0, len(unclear)) else unknown("others wrote the entity at the same moment")
                )
        return outcomes

    async def _find_unclear(self, deletes: Sequence[AnnouncedDelete], places: Sequence[int]) -> list[int]:
        """Return the places of those that another client may have deleted, or that are not deleted."""
        ids = [deletes[place].announced.id for place in places]
        # V1 first: an entity that is gone by now, and that nobody else has announced a write of afterwards, was deleted
        # by nobody else.
        standing, announced = await self._find_v1(ids), await self._find_v2(ids)
        return [
            place
            for place, id in zip(places, ids, strict=True)
            if id in standing or not _is_as_left(announced.get(id), deletes[place].announced)
        ]


def _is_as_left(now: StoredV2 | ForeignDocument | None, announced: StoredV2) -> bool:
    """Whether nobody has announced anything since. Raising the intent to a number that it has shows by a field."""
    if not isinstance(now, StoredV2) or now.gone or is_raised(now):
        return False
    return (now.revision, now.intent) == (announced.revision, announced.intent)
