"""Announcements of many writes by shared statements, where each has its own outcome and its own number.

A bulk of increments would not say which number each writer got, and another process's announcement may come between it
and a read. So V2 is read first, and each announcement is a compare-and-set of what was read. What is not clean, and
what has changed since, is left to a statement of its own.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import Literal, Protocol, TypeAlias

from lazymig.errors import ForeignDocument
from lazymig.stores.given import RawId
from lazymig.stores.grouping import GuardedUpdate, GuardedWrites
from lazymig.stores.ledger import GONE, INSERTS, INTENT, PLACED, REV
from lazymig.stores.records import PLACEHOLDER, Document, Fields, StoredV2


class Apart(enum.Enum):
    """In place of V2's document: nothing was announced, and a statement of its own must ask."""

    APART = enum.auto()


#: V2's document after an announcement, if a shared statement could make it.
Announced: TypeAlias = StoredV2 | Literal[Apart.APART]


class _Announcing(Protocol):
    """A store whose announcements share statements."""

    async def find_many(self, ids: Sequence[RawId]) -> dict[RawId, StoredV2 | ForeignDocument]: ...

    def mark(self) -> dict[str, Fields]: ...


class Announcements:
    """Announces many writes of one store. With `remembers`, inserts are remembered."""

    def __init__(self, store: _Announcing, writes: GuardedWrites, *, remembers: bool) -> None:
        self._store = store
        self._writes = writes
        self._remembers = remembers

    async def expect_each(self, ids: Sequence[RawId]) -> list[Announced]:
        """Return what V2's documents will be once a write of each is announced, if nothing comes first.

        `APART`: V2's document is not clean, or another of these writes is of the same entity and comes first.
        """
        found = await self._store.find_many(list(dict.fromkeys(ids)))
        expected: dict[RawId, Announced] = {}
        return [Apart.APART if id in expected else expected.setdefault(id, _expect(id, found.get(id))) for id in ids]

    async def vacant_each(self, asked: Sequence[tuple[RawId, int]]) -> list[Announced]:
        """Announce an insert of each of these, by its step, durably; return V2's documents as after a vacant ticket.

        `APART`: V2 has a document, and nothing was announced.
        """
        inserts = [(step,) if self._remembers else () for _, step in asked]
        return await self.announce_each(
            [
                StoredV2(id, PLACEHOLDER, step, True, None, {}, inserts=remembered)
                for (id, step), remembered in zip(asked, inserts, strict=True)
            ]
        )

    async def announce_each(self, expected: Sequence[Announced]) -> list[Announced]:
        """Announce what V2 is expected to be after that, durably; return `APART` in place of what was not announced."""
        asked = [after for after in expected if after is not Apart.APART]
        updates = [self._first(after) if after.gone else self._next(after) for after in asked]
        outcomes = iter(await self._writes.update_each(updates) if updates else ())
        # A refusal is for the statement of its own to report, as it would have been without company.
        return [after if after is not Apart.APART and next(outcomes) is True else Apart.APART for after in expected]

    def _first(self, after: StoredV2) -> GuardedUpdate:
        """Return the insert of a placeholder with this announcement."""
        remembered: Document = {INSERTS: list(after.inserts)} if after.inserts else {}
        placed = {**PLACED, GONE: True, **remembered}
        # No revision is lower, so the filter matches nothing.
        where = {"_id": after.id, REV: {"$lt": PLACEHOLDER}}
        return GuardedUpdate(
            where, {"$inc": {INTENT: after.intent}, **self._store.mark(), "$setOnInsert": placed}, True
        )

    def _next(self, after: StoredV2) -> GuardedUpdate:
        where = {"_id": after.id, REV: after.revision, INTENT: after.revision}
        return GuardedUpdate(where, {"$inc": {INTENT: 1}, **self._store.mark()})


def _expect(id: RawId, seen: StoredV2 | ForeignDocument | None) -> Announced:
    """Return V2's document after an announcement, if nothing comes between; `APART` where a shared one cannot say."""
    if seen is None:
        return StoredV2(id, PLACEHOLDER, 1, True, None, {})
    if isinstance(seen, ForeignDocument) or not seen.clean:
        return Apart.APART
    return seen._replace(intent=seen.intent + 1)
