"""How far a migration is, by the numbers of its entities: one definition for status, gauges, samples and gates."""

from __future__ import annotations

from attrs import frozen


@frozen
class HowFar:
    """The numbers of entities from which follows how far a migration is.

    Attributes:
        v1: Entities in V1.
        live: Entities in V2, clean or dirty.
        waiting: Entities of V1 that wait for their users.
        left: Entities of V1 that are not taken over.
    """

    v1: int
    live: int
    waiting: int
    left: int

    @property
    def to_move(self) -> int:
        """About how many entities there are to take over."""
        return self.v1 - self.left

    @property
    def remaining(self) -> int:
        """About how many entities are still to be moved."""
        return max(0, self.to_move - self.live - self.waiting)

    @property
    def share(self) -> float:
        """The part of the entities to take over that is migrated, from 0 to 1."""
        return min(1.0, self.live / self.to_move) if self.to_move > 0 else 1.0
