"""What V2 holds, what V1 has beyond it, and who brought the entities over."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TypeVar

from attrs import frozen

from lazymig.stores.counts import Counts

K = TypeVar("K")
#: Up to this many documents each is looked at; beyond, who brought them is estimated from a sample.
SMALL, SAMPLE = 10_000, 2_000


@frozen
class Holdings:
    """What V2 holds: entities it answers for, entities with an announced write, and what stands for none."""

    clean: int
    dirty: int
    placeholders: int
    tombstones: int

    @property
    def live(self) -> int:
        """Entities in V2, with an announced write or without."""
        return self.clean + self.dirty

    def remaining(self, v1: int) -> int:
        """Entities that V2 lacks, about, where V1 has this many."""
        return max(0, v1 - self.live)


@frozen
class MovedBy:
    """Live entities of V2 by who brought them first: a read, a write (an insert is one) or a sweep.

    `unknown` are those of versions that did not record it. `estimated`: from a sample.
    """

    read: int
    write: int
    sweep: int
    unknown: int
    estimated: bool


async def look_up_holdings(v2: Counts, *, exact: bool = False) -> Holdings:
    """Count V2's documents by state. All but the clean ones carry a mark."""
    whole, marked = await v2.count_all(exact=exact), await v2.count_marked()
    clean = whole - marked.dirty - marked.placeholders - marked.tombstones
    return Holdings(max(0, clean), marked.dirty, marked.placeholders, marked.tombstones)


async def count_moved_by(v2: Counts, live: int, *, exact: bool = False) -> MovedBy:
    """Count V2's `live` entities by who brought them: each where they are few or with `exact`, else by a sample."""
    sample = await _sample(v2, exact=exact)
    counts = await v2.count_live_by("by", sample=sample)
    known = {by: counts.get(by, 0) for by in ("read", "write", "sweep")}
    found = {**known, "unknown": sum(counts.values()) - sum(known.values())}
    return MovedBy(**(_scaled(found, live) if sample else found), estimated=sample > 0)


async def count_by_conversion(v2: Counts, live: int, *, exact: bool = False) -> dict[int, int]:
    """Count V2's `live` entities by conversion revision: each where they are few or with `exact`, else by a sample."""
    sample = await _sample(v2, exact=exact)
    counts: Counter[int] = Counter()
    for revision, count in (await v2.count_live_by("conv", sample=sample)).items():
        counts[revision or 1] += count  # missing means 1
    return dict(sorted((_scaled(counts, live) if sample else counts).items()))


async def _sample(v2: Counts, *, exact: bool) -> int:
    """Choose how many documents stand for all; 0 where each is to be looked at."""
    return SAMPLE if not exact and await v2.count_all() > SMALL else 0


def _scaled(counts: Mapping[K, int], whole: int) -> dict[K, int]:
    """Scale the counts of a sample to shares of the whole, which they add up to."""
    of, seen, before = max(sum(counts.values()), 1), 0, 0
    scaled: dict[K, int] = {}
    for name, count in counts.items():
        # Rounded as running sums, so that what one share loses the next gains.
        seen += count
        scaled[name] = round(whole * seen / of) - before
        before += scaled[name]
    return scaled
