"""Mismatches in the control collection: one row per entity whose two sides do not agree, without any contents.

A row is found by its entity's id, so an entity is named once, whatever found it and however often.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Final, TypeGuard

from lazymig.control.part import Part
from lazymig.control.reading import Values, is_text
from lazymig.control.row_pages import find_after
from lazymig.stores.chunks import split_ids
from lazymig.stores.documents import raw_id
from lazymig.stores.given import RawId
from lazymig.stores.rows import Row
from lazymig.stores.verdicts import Difference, Mismatch, Verdict

#: Rows per page and per statement.
_PAGE = 1000
BY_AGE = [("first_at", 1), ("_id", 1)]
_VERDICTS: Final = {str(verdict): verdict for verdict in Verdict}


class Mismatches(Part):
    """The mismatches in a control collection."""

    async def record(self, migration: str, found: Sequence[Mismatch]) -> None:
        """Record mismatches, durably, a thousand per statement.

        `first_at` stays. `since` stays while the signature does, and starts again when it changes; a mismatch that was
        confirmed stays so as long.
        """
        now = self._clock.now()
        for start in range(0, len(found), _PAGE):
            part = found[start : start + _PAGE]
            if self._rows.in_memory:
                for one in part:
                    await self._record_in_memory(migration, one, now)
            else:
                changes = [({"_id": _make_key(migration, one.id)}, _make_pipeline(migration, one, now)) for one in part]
                await self._rows.put_each(changes)

    async def _record_in_memory(self, migration: str, one: Mismatch, now: datetime) -> None:
        key = {"_id": _make_key(migration, one.id)}
        fields = _make_row(migration, one, now)
        stands = {**key, "signature": one.signature}
        # First, because the next statement sets the field.
        if await self._rows.change({**stands, "confirmed": True}, {"$set": {**fields, "confirmed": True}}):
            return
        if await self._rows.change(stands, {"$set": fields}):
            return
        await self._rows.put(key, {"$set": {**fields, "since": now}, "$setOnInsert": {"first_at": now}})

    async def find(self, migration: str, id: RawId) -> Mismatch | None:
        """Find one entity's mismatch, or None."""
        row = await self._rows.find_first({"_id": _make_key(migration, id)})
        return None if row is None else _make_mismatch(row)

    async def find_pages(
        self, migration: str, *, confirmed: bool | None = None, source: str | None = None, size: int = _PAGE
    ) -> AsyncIterator[list[Mismatch]]:
        """Find the mismatches in pages, those found first at the front; rows may be added and removed meanwhile."""
        where = _make_filter(migration, confirmed=confirmed, source=source)
        if self._rows.in_memory:  # where keys that are documents cannot be ordered
            yield [_make_mismatch(row) for row in await self._rows.find_all(where, sort=BY_AGE)]
            return
        after: Row = {}
        while rows := await self._rows.find_page({**where, **after}, size, sort=BY_AGE):
            yield [_make_mismatch(row) for row in rows]
            if len(rows) < size:
                return
            after = find_after(rows[-1])

    async def find_all_of(self, migration: str, ids: Sequence[RawId]) -> list[Mismatch]:
        """Find the mismatches of these ids, a page of them; ids without one are left out."""
        keys = [_make_key(migration, id) for id in ids]
        return [
            _make_mismatch(row)
            for part in split_ids(keys)
            for row in await self._rows.find_page({"_id": {"$in": list(part)}}, len(part))
        ]

    async def count(self, migration: str, *, confirmed: bool | None = None, source: str | None = None) -> int:
        """Count the mismatches."""
        return await self._rows.count(_make_filter(migration, confirmed=confirmed, source=source))

    async def count_by_verdict(self, migration: str, *, confirmed: bool | None = None) -> Counter[Verdict]:
        """Count the mismatches of each verdict."""
        where = _make_filter(migration, confirmed=confirmed, source=None)
        counts: Counter[Verdict] = Counter()
        for verdict, count in (await self._rows.count_by("verdict", where)).items():
            counts[_VERDICTS.get(verdict, Verdict.UNKNOWN)] += count
        return Counter({verdict: counts[verdict] for verdict in Verdict if verdict in counts})

    async def remove(self, migration: str, ids: Sequence[RawId]) -> int:
        """Remove the mismatches of these ids; return how many there were."""
        keys = [_make_key(migration, id) for id in ids]
        return sum([await self._rows.remove({"_id": {"$in": list(part)}}) for part in split_ids(keys)])


def _make_filter(migration: str, *, confirmed: bool | None, source: str | None) -> dict[str, object]:
    where: dict[str, object] = {"kind": "mismatch", "migration": migration}
    if confirmed is not None:
        where["confirmed"] = {"$ne": False} if confirmed else False  # what cannot be read counts as confirmed
    if source is not None:
        where["source"] = source
    return where


def _make_key(migration: str, id: RawId) -> dict[str, RawId]:
    return {"mismatch": migration, "id": raw_id(id)}


def _make_pipeline(migration: str, one: Mismatch, now: datetime) -> list[dict[str, object]]:
    stands = {"$eq": ["$signature", {"$literal": one.signature}]}
    kept: dict[str, object] = {
        "first_at": {"$ifNull": ["$first_at", now]},
        "since": {"$cond": [stands, {"$ifNull": ["$since", now]}, now]},
        "confirmed": {"$or": [one.confirmed, {"$and": [stands, {"$ifNull": ["$confirmed", False]}]}]},
    }
    # As literals: the server would take a text that begins with a dollar sign for the name of a field.
    fields = {name: {"$literal": value} for name, value in _make_row(migration, one, now).items()}
    return [{"$set": fields | kept}]


def _make_row(migration: str, one: Mismatch, now: datetime) -> dict[str, object]:
    return {
        "kind": "mismatch", "migration": migration, "id": raw_id(one.id), "verdict": str(one.verdict),
        "check": one.check, "reason": one.reason, "revision": one.revision, "v2_revision": one.v2_revision,
        # Never the values: the control collection holds nothing of the documents.
        "differences": [[each.path, each.expected, each.found, each.accept] for each in one.differences],
        "signature": one.signature, "source": one.source, "confirmed": one.confirmed, "last_at": now,
    }  # fmt: skip


def _make_mismatch(row: Row) -> Mismatch:
    """Return the mismatch, with nothing in place of what cannot be read: no gate may open because of that."""
    of = Values(row)
    return Mismatch(
        row.get("id"), _VERDICTS.get(of.text("verdict"), Verdict.UNKNOWN), of.text("check"),
        tuple(map(_make_difference, filter(_is_difference, _list(row.get("differences"))))), of.text("reason"),
        of.find_integer("revision"), of.find_integer("v2_revision"), of.text("signature"),
        of.text("source"), row.get("confirmed") is not False, of.find_moment("since"),
        of.find_moment("first_at"), of.find_moment("last_at"),
    )  # fmt: skip


def _list(value: object) -> Sequence[object]:
    return value if isinstance(value, list) else ()


def _is_difference(stored: object) -> TypeGuard[Sequence[str]]:
    return isinstance(stored, list) and len(stored) == 4 and all(map(is_text, stored))


def _make_difference(stored: Sequence[str]) -> Difference:
    path, expected, found, accept = stored
    return Difference(path, expected, found, accept=accept)
