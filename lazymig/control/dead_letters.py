"""Dead letters in the control collection: one record per entity that needs a person, without any document's contents.

Written, read and removed many at a time. No cursor stays open while a caller works: pages are found by their key.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from pymongo import UpdateOne
from pymongo.errors import DuplicateKeyError

from lazymig.loop.clock import SYSTEM_CLOCK, Clock
from lazymig.stores.chunks import chunks
from lazymig.stores.documents import raw_id
from lazymig.stores.drivers import LENIENT, MAJORITY, READ_MAJORITY, Driver, driver_of, tuned
from lazymig.stores.indexes import ensure_index
from lazymig.stores.records import DeadLetter

#: Letters per statement and per page.
LETTERS_PER_PAGE = 1000
_BY_AGE = [("first_at", 1), ("_id", 1)]


class DeadLetters:
    """The part of a control collection that holds dead letters."""

    def __init__(self, collection: Any, clock: Clock = SYSTEM_CLOCK) -> None:
        self.collection = collection
        self._clock = clock
        self._in_memory = driver_of(collection) is Driver.MEMORY
        # Ids stand here as they stand in `_id`, however this client would decode them.
        self._rows = tuned(collection, write=MAJORITY, read=READ_MAJORITY, codec=LENIENT)

    async def ensure_index(self) -> None:
        """Create the indexes by which rows are found without a scan, and dead letters in their order."""
        await ensure_index(self._rows, [("kind", 1), ("migration", 1), ("state", 1)], "lazymig_kind")
        await ensure_index(self._rows, [("kind", 1), ("migration", 1), *_BY_AGE], "lazymig_first_at")

    async def bury_letters(self, letters: Sequence[DeadLetter]) -> None:
        """Record failures, a thousand per statement; returns when all are durable.

        The first time is kept, attempts are counted, and a waiver ends when V1 has changed.
        """
        if self._in_memory:  # which knows no updates by pipelines, and no other processes either
            for letter in letters:
                await self._bury_in_memory(letter)
            return
        for start in range(0, len(letters), LETTERS_PER_PAGE):
            updates = [self._burial(letter) for letter in letters[start : start + LETTERS_PER_PAGE]]
            await self._rows.bulk_write(updates, ordered=False)

    def _burial(self, letter: DeadLetter) -> UpdateOne:
        """One statement, so that no waiver of another process slips in between looking and writing."""
        now = self._clock.now()
        kept: dict[str, Any] = {
            "first_at": {"$ifNull": ["$first_at", now]},
            "attempts": {"$add": [{"$ifNull": ["$attempts", 0]}, 1]},
            "waived": {"$cond": [{"$eq": ["$waived.revision", {"$literal": letter.revision}]}, "$waived", "$$REMOVE"]},
        }
        # Literally: a text that begins with a dollar sign would be read as the name of a field.
        fields = {name: {"$literal": value} for name, value in _row(letter, now).items()}
        return UpdateOne({"_id": _dead_key(letter.migration, letter.id)}, [{"$set": fields | kept}], upsert=True)

    async def _bury_in_memory(self, letter: DeadLetter) -> None:
        now, key = self._clock.now(), {"_id": _dead_key(letter.migration, letter.id)}
        change = {"$set": _row(letter, now), "$setOnInsert": {"first_at": now}, "$inc": {"attempts": 1}}
        try:
            await self._rows.update_one({**key, "waived": {"$exists": False}}, change, upsert=True)
        except DuplicateKeyError:
            same = {**key, "waived.revision": letter.revision}
            if not (await self._rows.update_one(same, change)).matched_count:
                await self._rows.update_one(key, {**change, "$unset": {"waived": ""}}, upsert=True)

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
        if self._in_memory:
            rows = await self._rows.find(where).sort(_BY_AGE).to_list(None)
            yield [_letter(row) for row in rows]
            return
        after: dict[str, Any] = {}
        # A batch larger than the limit: a page is one reply.
        page: dict[str, Any] = {"sort": _BY_AGE, "limit": size, "batch_size": size + 1}
        while rows := await self._rows.find({**where, **after}, **page).to_list(None):
            yield [_letter(row) for row in rows]
            if len(rows) < size:
                return
            at, key = rows[-1]["first_at"], rows[-1]["_id"]
            after = {"first_at": {"$gte": at}, "$or": [{"first_at": {"$gt": at}}, {"_id": {"$gt": key}}]}

    async def letters_of(self, migration: str, ids: Sequence[Any]) -> AsyncIterator[list[DeadLetter]]:
        """The dead letters of these ids, in pages; ids without one are left out."""
        for start in range(0, len(ids), LETTERS_PER_PAGE):
            keys = [_dead_key(migration, id) for id in ids[start : start + LETTERS_PER_PAGE]]
            found = self._rows.find({"_id": {"$in": keys}}).batch_size(LETTERS_PER_PAGE + 1)
            yield [_letter(row) for row in await found.to_list(None)]

    async def dead_letter(self, migration: str, id: Any) -> DeadLetter | None:
        """One entity's dead letter."""
        row = await self._rows.find_one({"_id": _dead_key(migration, id)})
        return None if row is None else _letter(row)

    async def dead_count(self, migration: str) -> int:
        """How many dead letters need a person: the waived ones do not."""
        where = {"kind": "dead", "migration": migration, "waived": {"$exists": False}}
        return int(await self._rows.count_documents(where))

    async def resolve(self, migration: str, ids: Sequence[Any]) -> int:
        """Remove the dead letters of entities that are well now; how many there were."""
        keys = [_dead_key(migration, id) for id in ids]
        parts = [await self._rows.delete_many({"_id": {"$in": list(part)}}) for part in chunks(keys)]
        return sum(part.deleted_count for part in parts)

    async def waive(self, migration: str, id: Any, reason: str) -> bool:
        """Record that a person accepts this failure, for as long as V1 stays at its revision. False: there is none."""
        letter = await self.dead_letter(migration, id)
        if letter is None:
            return False
        waiver = {"reason": reason, "at": self._clock.now(), "revision": letter.revision}
        seen = {"_id": _dead_key(migration, id), "revision": letter.revision}
        return bool((await self._rows.update_one(seen, {"$set": {"waived": waiver}})).matched_count)

    async def unwaive(self, migration: str, id: Any) -> bool:
        """Take a waiver back. False: there is none."""
        waived = {"_id": _dead_key(migration, id), "waived": {"$exists": True}}
        return bool((await self._rows.update_one(waived, {"$unset": {"waived": ""}})).matched_count)


def _dead_key(migration: str, id: Any) -> dict[str, Any]:
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
