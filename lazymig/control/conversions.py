"""Conversion revisions: the highest that a process ran with, and the classes that it had."""

from __future__ import annotations

from attrs import frozen

from lazymig.control.part import Part


@frozen
class KnownConversion:
    """The highest conversion revision that anybody ran with, and the fingerprint of its classes."""

    revision: int
    fingerprint: str


class Conversions(Part):
    """The part of a control collection that remembers each migration's conversion revision."""

    async def conversion(self, migration: str) -> KnownConversion | None:
        """The highest conversion revision seen, and the fingerprint of the classes it was first seen with."""
        row = await self._rows.find_first({"_id": f"{migration}/conversion"})
        return None if row is None else KnownConversion(row["revision"], row["fingerprint"])

    async def remember_conversion(self, migration: str, revision: int, fingerprint: str) -> None:
        """Remember a revision that is higher than all before; any other changes nothing."""
        row = {
            "kind": "conversion", "migration": migration, "revision": revision, "fingerprint": fingerprint,
            "at": self._clock.now(),
        }  # fmt: skip
        # Where this one or a higher one is known, the filter finds nothing.
        await self._rows.put({"_id": f"{migration}/conversion", "revision": {"$lt": revision}}, {"$set": row})
