"""What tools are at work on a migration, by the leases that they hold."""

from __future__ import annotations

from lazymig.control.part import Part


class AtWork(Part):
    """The leases in a control collection."""

    async def find(self, migration: str) -> list[str]:
        """Find the kinds of work that a process holds a lease for, such as "verify partition" and "follower"."""
        now = self._clock.now()
        # The row of a finished pass still has the time until which its planner held it.
        held = {"migration": migration, "until": {"$gte": now}, "state": {"$nin": ["done", "abandoned"]}}
        rows = await self._rows.find_all(held, ["kind"])
        return sorted({str(row.get("kind", "something")) for row in rows})
