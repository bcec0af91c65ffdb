"""What a sweep tells: where it stands, and what it did."""

from __future__ import annotations

from collections import Counter

from attrs import frozen


@frozen
class Progress:
    """Where a sweep stands: counts of this process so far. `total` is V1's estimated size."""

    total: int
    scanned: int
    migrated: int
    present: int
    healed: int
    purged: int
    dead: int
    elapsed_s: float


@frozen
class SweepReport:
    """What one run did.

    `scanned` V1 ids were looked at; `present` of them V2 had, `migrated` were moved, `lost` were moved by a client in
    the same moment, and `dead` failed. Beside that, `healed` marks and `purged` remainders. `dead_letters` is the
    number of entities that need a person now, whichever run met them. `finished` is False when it was stopped early.
    """

    migration: str
    total: int
    scanned: int
    migrated: int
    present: int
    lost: int
    healed: int
    purged: int
    dead: int
    dead_letters: int
    elapsed_s: float
    finished: bool

    @property
    def needs_person(self) -> bool:
        """Whether something is left that no further sweep will mend."""
        return self.dead_letters > 0


def progress_of(counts: Counter[str], total: int, elapsed_s: float) -> Progress:
    """Where these counts stand; never more scanned than there is."""
    return Progress(
        max(total, counts["scanned"]), counts["scanned"], counts["migrated"], counts["present"], counts["healed"],
        counts["purged"], counts["dead"], elapsed_s,
    )  # fmt: skip


def report_of(
    migration: str, counts: Counter[str], total: int, elapsed_s: float, *, dead_letters: int, finished: bool
) -> SweepReport:
    """What these counts come to."""
    return SweepReport(
        migration, max(total, counts["scanned"]), counts["scanned"], counts["migrated"], counts["present"],
        counts["lost"], counts["healed"], counts["purged"], counts["dead"], dead_letters, elapsed_s, finished,
    )  # fmt: skip
