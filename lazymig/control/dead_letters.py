"""Dead letters in the control collection: one record per entity that needs a person, without any document's contents.

Written, read and removed many at a time. No cursor stays open while a caller works: pages are found by their key.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from lazymig.control.part import Part
from lazymig.stores.chunks import chunks
from lazymig.stores.documents import raw_id
from lazymig.stores.records import DeadLetter

#: Letters per statement and per page.
LETTERS_PER_PAGE = 1000
#: Their order: oldest first.
BY_AGE = [("first_at", 1), ("_id", 1)]


class DeadLetters(Part):
    """The part of a control collection that holds dead letters."""

    async def record_letters(self, letters: Sequence[DeadLetter]) -> None:
        """Record failures, a thousand per statement; returns when all are durable.

        The first time is kept, attempts are counted, and a waiver ends when V1 has changed.
        """
        if self._rows.in_memory:
            for letter in letters:
                await self._record_in_memory(letter)
            return
        for start in range(0, len(letters), LETTERS_PER_PAGE):
            part = letters[start : start + LETTERS_PER_PAGE]
            # One change each, so that no waiver of another process slips in between looking and writing.
            await self._rows.put_each([({"_id": _key(one.migration, one.id)}, self._recording(one)) for one in part])

    def _recording(self, letter: DeadLetter) -> list[dict[str, Any]]:
        """The pipeline that records one failure over what stands."""
        now = self._clock.now()
        kept: dict[str, Any] = {
            "first_at": {"$ifNull": ["$first_at", now]},
            "attempts": {"$add": [{"$ifNull": ["$attempts", 0]}, 1]},
            "waived": {"$cond": [{"$eq": ["$waived.revision", {"$literal": letter.revision}]}, "$waived", "$$REMOVE"]},
        }
        # Literally: a text that begins with a dollar sign would be read as the name of a field.
        fields = {name: {"$literal": value} for name, value in _row(letter, now).items()}
        return [{"$set": fields | kept}]

    async def _record_in_memory(self, letter: DeadLetter) -> None:
        now, key = self._clock.now(), {"_id": _key(letter.migration, letter.id)}
        change = {"$set": _row(letter, now), "$setOnInsert": {"first_at": now}, "$inc": {"attempts": 1}}
        if await self._rows.put({**key, "waived": {"$exists": False}}, change):
            return
        if not await self._rows.change({**key, "waived.revision": letter.revision}, change):
            await self._rows.put(key, {**change, "$unset": {"waived": ""}})

    async def dead_letters(self, migration: str, *, waived: bool | None = None) -> AsyncIterator[DeadLetter]:
        """The dead letters, oldest first; only the waived, or only the others, if asked for."""
        async for page in self.dead_pages(migration, waived=waived):
            for letter in page:
                yield letter

    async def dead_pages(
        self, migration: str, *, waived: bool | None = None, size: int = LETTERS_PER_PAGE
    ) -> AsyncIterator[list[DeadLetter]]:
        """The dead letters in pages, each found by the key of the last: letters may come and go meanwhile."""
        where: dict[str, Any] = {"kind": "dead", "migration": migration}
        if waived is not None:
            where["waived"] = {"$exists": waived}
        if self._rows.in_memory:  # which does not order keys that are documents
            yield [_letter(row) for row in await self._rows.find_all(where, sort=BY_AGE)]
            return
        after: dict[str, Any] = {}
        while rows := await self._rows.find_page({**where, **after}, size, sort=BY_AGE):
            yield [_letter(row) for row in rows]
            if len(rows) < size:
                return
            at, key = rows[-1]["first_at"], rows[-1]["_id"]
            after = {"first_at": {"$gte": at}, "$or": [{"first_at": {"$gt": at}}, {"_id": {"$gt": key}}]}

    async def letters_of(self, migration: str, ids: Sequence[Any]) -> AsyncIterator[list[DeadLetter]]:
        """The dead letters of these ids, in pages; ids without one are left out."""
        for start in range(0, len(ids), LETTERS_PER_PAGE):
            keys = [_key(migration, id) for id in ids[start : start + LETTERS_PER_PAGE]]
            yield [_letter(row) for row in await self._rows.find_page({"_id": {"$in": keys}}, len(keys))]

    async def dead_letter(self, migration: str, id: Any) -> DeadLetter | None:
        """One entity's dead letter."""
        row = await self._rows.find_first({"_id": _key(migration, id)})
        return None if row is None else _letter(row)

    async def dead_count(self, migration: str) -> int:
        """Count the dead letters that need a person: the waived ones do not."""
        return await self._rows.count({"kind": "dead", "migration": migration, "waived": {"$exists": False}})

    async def remove_letters(self, migration: str, ids: Sequence[Any]) -> int:
        """Remove the dead letters of these ids; return how many there were."""
        keys = [_key(migration, id) for id in ids]
        return sum([await self._rows.remove({"_id": {"$in": list(part)}}) for part in chunks(keys)])

    async def waive(self, migration: str, id: Any, reason: str) -> bool:
        """Record that a person accepts this failure, for as long as V1 stays at its revision. False: there is none."""
        letter = await self.dead_letter(migration, id)
        if letter is None:
            return False
        waiver = {"reason": reason, "at": self._clock.now(), "revision": letter.revision}
        seen = {"_id": _key(migration, id), "revision": letter.revision}
        return await self._rows.change(seen, {"$set": {"waived": waiver}})

    async def unwaive(self, migration: str, id: Any) -> bool:
        """Take a waiver back. False: there is none."""
        waived = {"_id": _key(migration, id), "waived": {"$exists": True}}
        return await self._rows.change(waived, {"$unset": {"waived": ""}})


def _key(migration: str, id: Any) -> dict[str, Any]:
    return {"dead": migration, "id": raw_id(id)}


def _row(letter: DeadLetter, now: Any) -> dict[str, Any]:
    return {
        "kind": "dead", "migration": letter.migration, "id": raw_id(letter.id), "revision": letter.revision,
        "direction": letter.direction, "error": letter.error, "message": letter.message, "path": letter.path,
        "line": letter.line, "last_at": now,
    }  # fmt: skip


def _letter(row: Mapping[str, Any]) -> DeadLetter:
    return DeadLetter(
        row["migration"], row["id"], row["revision"], row["direction"], row["error"], row["message"], row["path"],
        row["first_at"], row["last_at"], row["attempts"], row.get("waived", {}).get("reason"), row.get("line", ""),
    )  # fmt: skip
