"""Dead letters in the control collection: one row per entity that needs a person, without any document's contents.

They are written, read and removed many at a time. Pages are found by their key, so that no cursor stays open while a
caller works.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Any

from lazymig.control.part import Part
from lazymig.control.reading import Values
from lazymig.control.row_pages import find_after
from lazymig.stores.chunks import split_ids
from lazymig.stores.documents import raw_id
from lazymig.stores.given import RawId
from lazymig.stores.records import DeadLetter
from lazymig.stores.rows import Row

#: Letters per statement and per page.
LETTERS_PER_PAGE = 1000
#: How many are counted by their causes, so that a look for a page stays cheap.
COUNTED_BY_CAUSE = 10_000
#: Their order: oldest first.
BY_AGE = [("first_at", 1), ("_id", 1)]
_CAUSE = ("direction", "error", "line", "path", "message")


class DeadLetters(Part):
    """The dead letters in a control collection."""

    async def record(self, letters: Sequence[DeadLetter]) -> None:
        """Record failures, a thousand per statement; return when all are durable.

        The time of the first failure stays, attempts are counted, and a waiver ends when V1 has another revision.
        """
        if self._rows.in_memory:
            for letter in letters:
                await self._record_in_memory(letter)
            return
        for start in range(0, len(letters), LETTERS_PER_PAGE):
            part = letters[start : start + LETTERS_PER_PAGE]
            # One update each, which looks and writes: another process may waive the letter at any moment.
            await self._rows.put_each(
                [({"_id": _make_key(one.migration, one.id)}, self._make_pipeline(one)) for one in part]
            )

    def _make_pipeline(self, letter: DeadLetter) -> list[dict[str, Any]]:
        """Return the pipeline that records one failure over the stored row."""
        now = self._clock.now()
        kept: dict[str, Any] = {
            "first_at": {"$ifNull": ["$first_at", now]},
            "attempts": {"$add": [{"$ifNull": ["$attempts", 0]}, 1]},
            "waived": {"$cond": [{"$eq": ["$waived.revision", {"$literal": letter.revision}]}, "$waived", "$$REMOVE"]},
        }
        # As literals: the server would take a text that begins with a dollar sign for the name of a field.
        fields = {name: {"$literal": value} for name, value in _make_row(letter, now).items()}
        return [{"$set": fields | kept}]

    async def _record_in_memory(self, letter: DeadLetter) -> None:
        now, key = self._clock.now(), {"_id": _make_key(letter.migration, letter.id)}
        change = {"$set": _make_row(letter, now), "$setOnInsert": {"first_at": now}, "$inc": {"attempts": 1}}
        if await self._rows.put({**key, "waived": {"$exists": False}}, change):
            return
        if not await self._rows.change({**key, "waived.revision": letter.revision}, change):
            await self._rows.put(key, {**change, "$unset": {"waived": ""}})

    async def find_pages(
        self, migration: str, *, waived: bool | None = None, size: int = LETTERS_PER_PAGE
    ) -> AsyncIterator[list[DeadLetter]]:
        """Find the dead letters in pages, oldest first; with `waived`, only the waived ones or only the others.

        Each page is found by the key of the last, so letters may be added and removed meanwhile.
        """
        where: dict[str, Any] = {"kind": "dead", "migration": migration}
        if waived is not None:
            where["waived"] = {"$exists": waived}
        if self._rows.in_memory:  # where keys that are documents cannot be ordered
            yield [_make_letter(row) for row in await self._rows.find_all(where, sort=BY_AGE)]
            return
        after: Row = {}
        while rows := await self._rows.find_page({**where, **after}, size, sort=BY_AGE):
            yield [_make_letter(row) for row in rows]
            if len(rows) < size:
                return
            after = find_after(rows[-1])

    async def find_pages_of(self, migration: str, ids: Sequence[RawId]) -> AsyncIterator[list[DeadLetter]]:
        """Find the dead letters of these ids, in pages; ids without one are left out."""
        for start in range(0, len(ids), LETTERS_PER_PAGE):
            keys = [_make_key(migration, id) for id in ids[start : start + LETTERS_PER_PAGE]]
            yield [_make_letter(row) for row in await self._rows.find_page({"_id": {"$in": keys}}, len(keys))]

    async def find(self, migration: str, id: RawId) -> DeadLetter | None:
        """Find one entity's dead letter, or None."""
        row = await self._rows.find_first({"_id": _make_key(migration, id)})
        return None if row is None else _make_letter(row)

    async def count_open(self, migration: str) -> int:
        """Count the dead letters that are not waived."""
        return await self._rows.count({"kind": "dead", "migration": migration, "waived": {"$exists": False}})

    async def count_open_by_cause(self, migration: str) -> list[Row]:
        """Count open letters by direction, error, line, path and message: all of them, or `COUNTED_BY_CAUSE`."""
        where = {"kind": "dead", "migration": migration, "waived": {"$exists": False}}
        return await self._rows.count_groups(_CAUSE, where, COUNTED_BY_CAUSE)

    async def count_waived(self, migration: str) -> int:
        """Count the dead letters that are waived."""
        return await self._rows.count({"kind": "dead", "migration": migration, "waived": {"$exists": True}})

    async def remove(self, migration: str, ids: Sequence[RawId]) -> int:
        """Remove the dead letters of these ids; return how many there were."""
        keys = [_make_key(migration, id) for id in ids]
        return sum([await self._rows.remove({"_id": {"$in": list(part)}}) for part in split_ids(keys)])

    async def waive(self, migration: str, id: RawId, reason: str, *, seen: DeadLetter | None = None) -> bool:
        """Record that a person accepts this failure while V1 stays at its revision. False: there is no such letter.

        With the letter as that person has seen it, nothing is changed once it is another one, or waived by others.
        """
        letter = seen or await self.find(migration, id)
        if letter is None:
            return False
        waiver = {"reason": reason, "at": self._clock.now(), "revision": letter.revision}
        where = {"revision": letter.revision} if seen is None else _make_seen(seen)
        return await self._rows.change({"_id": _make_key(migration, id), **where}, {"$set": {"waived": waiver}})

    async def unwaive(self, migration: str, id: RawId, *, seen: DeadLetter | None = None) -> bool:
        """Take a waiver back: any, or the one that a person has seen. False: there is no such one."""
        where = {"waived": {"$exists": True}} if seen is None else _make_seen(seen)
        return await self._rows.change({"_id": _make_key(migration, id), **where}, {"$unset": {"waived": ""}})


def _make_seen(letter: DeadLetter) -> Row:
    """Return what finds a letter while its failure and its waiver are those that were seen."""
    where: Row = {"revision": letter.revision, "waived": {"$exists": letter.waived is not None}}
    return {**where, "waived.reason": letter.waived} if letter.waived else where


def _make_key(migration: str, id: RawId) -> dict[str, RawId]:
    return {"dead": migration, "id": raw_id(id)}


def _make_row(letter: DeadLetter, now: datetime) -> dict[str, Any]:
    return {
        "kind": "dead", "migration": letter.migration, "id": raw_id(letter.id), "revision": letter.revision,
        "direction": letter.direction, "error": letter.error, "message": letter.message, "path": letter.path,
        "line": letter.line, "last_at": now,
    }  # fmt: skip


def _make_letter(row: Row) -> DeadLetter:
    """Return the letter, with nothing in place of what cannot be read: it still stands for its entity."""
    of = Values(row)
    return DeadLetter(
        of.text("migration"), row.get("id"), of.find_integer("revision") or 0, of.text("direction"), of.text("error"),
        of.text("message"), of.text("path"), of.find_moment("first_at"), of.find_moment("last_at"),
        of.find_count("attempts") or 0, of.part("waived").text("reason") if "waived" in row else None, of.text("line"),
    )  # fmt: skip
