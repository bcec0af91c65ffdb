"""Conversion revisions: the highest that a process ran with, and the fingerprint of its classes."""

from __future__ import annotations

from attrs import frozen

from lazymig.control.part import Part
from lazymig.control.reading import Unreadable, Values
from lazymig.errors import ConfigurationError


@frozen
class KnownConversion:
    """The highest conversion revision that any process ran with, and the fingerprint of its classes."""

    revision: int
    fingerprint: str


class KnownConversions(Part):
    """The conversion revision of each migration in a control collection."""

    async def find(self, migration: str) -> KnownConversion | None:
        """Find the highest revision seen, and the fingerprint of the classes that it was first seen with.

        Raises `ConfigurationError` where that cannot be read: whether this release is an old one is not known then.
        """
        row = await self._rows.find_first({"_id": f"{migration}/conversion"})
        if row is None:
            return None
        try:
            return KnownConversion(Values(row).need_count("revision"), Values(row).need_text("fingerprint"))
        except Unreadable as error:
            raise ConfigurationError(
                f"the control collection's row {migration}/conversion cannot be read (field {error.name}): somebody "
                "has changed it; remove that row, and the next sweep records the revision again"
            ) from None

    async def remember(self, migration: str, revision: int, fingerprint: str) -> None:
        """Store a revision that is higher than all before; any other changes nothing."""
        row = {
            "kind": "conversion", "migration": migration, "revision": revision, "fingerprint": fingerprint,
            "at": self._clock.now(),
        }  # fmt: skip
        # The filter finds nothing where this revision or a higher one is stored.
        await self._rows.put({"_id": f"{migration}/conversion", "revision": {"$lt": revision}}, {"$set": row})
