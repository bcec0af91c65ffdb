"""Counting what V2 holds, and what moved it there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TypeVar

from attrs import frozen

from lazymig.control.how_far import HowFar
from lazymig.metrics import DIRTY, LEFT_NOW, REMAINING, SHARE, WAITING_NOW
from lazymig.stores.counts import Counts
from lazymig.telemetry import Tally

K = TypeVar("K")
#: Up to SMALL documents all are counted; of more, SAMPLE documents are an estimate.
SMALL, SAMPLE = 10_000, 2_000


@frozen
class Holdings:
    """V2's documents by state: clean and dirty entities, and those without a body.

    `waiting` and `left` are entities that V1 holds and `upgrade` gives no body.
    """

    clean: int
    dirty: int
    placeholders: int
    tombstones: int
    waiting: int = 0
    left: int = 0

    @property
    def live(self) -> int:
        """Entities in V2, clean or dirty."""
        return self.clean + self.dirty

    def how_far(self, v1: int) -> HowFar:
        """Return how far the migration is if V1 has this many entities."""
        return HowFar(v1, self.live, self.waiting, self.left)

    def remaining(self, v1: int) -> int:
        """Return about how many entities are still to be moved if V1 has this many."""
        return self.how_far(v1).remaining


@frozen
class MovedBy:
    """Live entities of V2 by what moved them there first: a read, a write (inserts included) or a sweep.

    `unknown` are entities of releases that did not record it. `estimated`: counted in a sample.
    """

    read: int
    write: int
    sweep: int
    unknown: int
    estimated: bool


def show_holdings(tally: Tally, v1: int, held: Holdings) -> None:
    """Set the gauges of what V2 holds if V1 has this many entities."""
    how_far = held.how_far(v1)
    tally.show(SHARE, how_far.share)
    tally.show(REMAINING, how_far.remaining)
    tally.show(DIRTY, held.dirty)
    tally.show(WAITING_NOW, held.waiting)
    tally.show(LEFT_NOW, held.left)


async def look_up_holdings(v2: Counts, *, exact: bool = False) -> Holdings:
    """Count V2's documents by state. All except the clean ones have an entry in a sparse index."""
    whole, marked = await v2.count_all(exact=exact), await v2.count_marked()
    clean = whole - marked.dirty - marked.placeholders - marked.tombstones - marked.waiting - marked.left
    return Holdings(max(0, clean), marked.dirty, marked.placeholders, marked.tombstones, marked.waiting, marked.left)


async def estimate_holdings(v2: Counts) -> Holdings:
    """Estimate V2's documents by state in a sample: for a V2 with so many marked ones that counting them takes long."""
    whole, seen = await v2.count_all(), await v2.sample_states(SAMPLE)
    of = scaled(seen, whole)
    states = ("clean", "dirty", "placeholders", "tombstones", "waiting", "left")
    return Holdings(*(of.get(state, 0) for state in states))


async def count_moved_by(v2: Counts, live: int, *, exact: bool = False) -> MovedBy:
    """Count V2's `live` entities by what moved them: all if they are few or with `exact`, else in a sample."""
    sample = await _sample(v2, exact=exact)
    counts = await v2.count_live_by("by", sample=sample)
    known = {by: counts.get(by, 0) for by in ("read", "write", "sweep")}
    found = {**known, "unknown": sum(counts.values()) - sum(known.values())}
    return MovedBy(**(scaled(found, live) if sample else found), estimated=sample > 0)


async def count_by_conversion(v2: Counts, live: int, *, exact: bool = False) -> dict[int, int]:
    """Count V2's `live` entities by conversion revision: all if they are few or with `exact`, else in a sample."""
    sample = await _sample(v2, exact=exact)
    counts: Counter[int] = Counter()
    for revision, count in (await v2.count_live_by("conv", sample=sample)).items():
        counts[revision or 1] += count  # missing means 1
    return dict(sorted((scaled(counts, live) if sample else counts).items()))


async def _sample(v2: Counts, *, exact: bool) -> int:
    """Return the size of the sample; 0 to count all."""
    return SAMPLE if not exact and await v2.count_all() > SMALL else 0


def scaled(counts: Mapping[K, int], whole: int) -> dict[K, int]:
    """Scale the counts of a sample so that they add up to the whole."""
    of, seen, before = max(sum(counts.values()), 1), 0, 0
    scaled: dict[K, int] = {}
    for name, count in counts.items():
        # Round running sums, so that rounding errors do not add up.
        seen += count
        scaled[name] = round(whole * seen / of) - before
        before += scaled[name]
    return scaled
