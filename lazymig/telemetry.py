"""Counters and histograms of what lazymig did, and their names.

They are kept in the process (`Tally.counts`) and, where `opentelemetry-api` is installed, also counted by the
application's meter as `lazymig.*`. Database spans belong to the driver's own instrumentation.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Final, Protocol

#: A read found its entity in V1 only and stored it in V2.
MIGRATED: Final = "lazymig.migrated"
#: A read found V2 behind V1 and updated it.
REPAIRED: Final = "lazymig.repaired"
#: The mark of a writer that died was resolved.
HEALED: Final = "lazymig.healed"
#: A compare-and-set on V1 lost to another writer and was tried again.
CONTENDED: Final = "lazymig.contended"
#: V2 will never take a body (unique index, validator, size); V1 holds the write and answers.
REFUSED: Final = "lazymig.refused"
#: A V2 step failed after V1 had the write; V1 answers until the entity is healed.
LEFT_DIRTY: Final = "lazymig.left_dirty"
#: A read could not reach V2 within the time that it waits for it, and V1 answered alone.
V2_AWAY: Final = "lazymig.v2_away"
#: A checked read found V2 different from V1.
MISMATCHED: Final = "lazymig.mismatched"
#: A dark read compared both sides at one revision: the sum of the next two.
DARK_COMPARED: Final = "lazymig.dark_reads.compared"
#: A dark read found both sides equal.
DARK_MATCHED: Final = "lazymig.dark_reads.matched"
#: A dark read found twice in a row that both sides are not equal.
DARK_MISMATCHED: Final = "lazymig.dark_reads.mismatched"
#: A dark read never saw both sides at one revision: writes went on, or one was not finished.
DARK_MOVED: Final = "lazymig.dark_reads.moved"
#: A dark read found no body in V2 that may answer: absent, or made by another conversion revision.
DARK_MISSING: Final = "lazymig.dark_reads.missing"
#: A sampled read was not compared, because enough others were.
DARK_DROPPED: Final = "lazymig.dark_reads.dropped"
#: A dark read ended in an error, or took too long. Its caller noticed nothing.
DARK_FAILED: Final = "lazymig.dark_reads.failed"
#: A mismatch could not be written to the log, or the hook for mismatches raised.
DARK_UNREPORTED: Final = "lazymig.dark_reads.unreported"
#: How long the two sides of dark reads took to answer: a histogram in seconds.
DARK_DURATION: Final = "lazymig.dark_reads.duration"
#: The follower saw a change of V1, announced or not.
FOLLOWED: Final = "lazymig.follower.events"
#: The follower saw a change of V1 that was not announced.
ROGUE: Final = "lazymig.follower.rogue"
#: The follower could not heal an entity; it has a dead letter.
UNHEALED: Final = "lazymig.follower.dead"
#: The follower's position was unknown or lost, so that both sides are verified as a whole.
CAUGHT_UP: Final = "lazymig.follower.catch_ups"
#: The age of the oldest change that the follower has not handled, or of the last one: a histogram in seconds.
LAG: Final = "lazymig.follower.lag"
#: The time from a change that was not announced to its durable heal: a histogram in seconds.
STALENESS: Final = "lazymig.follower.staleness"


@cache
def _make_counter(name: str) -> Any:
    try:
        from opentelemetry import metrics
    except ImportError:
        return None
    return metrics.get_meter("lazymig").create_counter(name)


class _Recorder(Protocol):
    def record(self, amount: float, attributes: Mapping[str, str]) -> None: ...


@cache
def _make_histogram(name: str) -> _Recorder | None:
    try:
        from opentelemetry import metrics
    except ImportError:
        return None
    return metrics.get_meter("lazymig").create_histogram(name, unit="s")


class Tally:
    """Counts by metric name for one migration: `counts["lazymig.migrated"]` and so on.

    Args:
        migration: The migration's name, an attribute of each measurement.
    """

    def __init__(self, migration: str) -> None:
        self.counts: Counter[str] = Counter()
        self._attributes = {"lazymig.migration": migration}

    def count(self, name: str, amount: int = 1) -> None:
        """Add to a counter; never raises.

        Args:
            name: The metric's name.
            amount: What to add.
        """
        if amount == 0:
            return
        self.counts[name] += amount
        counter = _make_counter(name)
        if counter is not None:
            counter.add(amount, self._attributes)

    def measure(self, name: str, elapsed_s: float, **attributes: str) -> None:
        """Add a duration to the application's histogram, where `opentelemetry-api` is installed; never raises.

        Args:
            name: The metric's name.
            elapsed_s: The duration in seconds.
            **attributes: Further attributes of the measurement; their names get the prefix `lazymig.`.
        """
        histogram = _make_histogram(name)
        if histogram is not None:
            further = {f"lazymig.{key}": value for key, value in attributes.items()}
            histogram.record(elapsed_s, self._attributes | further)


#: The upper bound of the first bucket, in seconds, and how many buckets double it.
_FIRST_S, _PER_DOUBLING = 1e-5, 8
#: The last bucket begins at about eight days, which a follower may have been away, and has no upper bound.
_BUCKETS = 36 * _PER_DOUBLING


class Histogram:
    """Durations in buckets whose bounds grow by a twelfth: constant memory, and quantiles to within five percent."""

    def __init__(self) -> None:
        self._buckets = [0] * (_BUCKETS + 1)
        self._total_s = 0.0

    def __repr__(self) -> str:
        p50, p99 = (_in_words(self.quantile(share)) for share in (0.5, 0.99))
        return f"<Histogram of {self.count}: p50 {p50}, p99 {p99}>"

    def record(self, elapsed_s: float) -> None:
        """Count one duration.

        Args:
            elapsed_s: The duration in seconds. Clocks that differ may make it negative; it counts as 0 then.
        """
        elapsed_s = max(elapsed_s, 0.0)
        steps = math.ceil(math.log2(elapsed_s / _FIRST_S) * _PER_DOUBLING) if elapsed_s > _FIRST_S else 0
        self._buckets[min(steps, _BUCKETS)] += 1
        self._total_s += elapsed_s

    def add(self, other: Histogram) -> None:
        """Count what another histogram has counted.

        Args:
            other: The other histogram.
        """
        self._buckets = [mine + others for mine, others in zip(self._buckets, other._buckets, strict=True)]
        self._total_s += other._total_s

    def pack(self) -> list[list[float]]:
        """Return all that the histogram holds, to be stored: the sum, then each bucket's number with its count.

        Returns:
            A list that BSON and JSON can hold.
        """
        counted = [[float(step), float(count)] for step, count in enumerate(self._buckets) if count]
        return [[self._total_s], *counted]

    @classmethod
    def unpack(cls, packed: Sequence[Sequence[float]]) -> Histogram:
        """Return the histogram that was packed.

        Args:
            packed: What `pack` returned.

        Returns:
            A histogram of its own.
        """
        made = cls()
        made._total_s = packed[0][0]
        for step, count in packed[1:]:
            made._buckets[min(int(step), _BUCKETS)] += int(count)
        return made

    @property
    def count(self) -> int:
        """How many durations were counted."""
        return sum(self._buckets)

    @property
    def total_s(self) -> float:
        """The sum of the durations, in seconds."""
        return self._total_s

    @property
    def buckets(self) -> dict[float, int]:
        """The counts by the upper bounds of the buckets in seconds, without empty buckets."""
        return {_upper_s(step): count for step, count in enumerate(self._buckets) if count}

    def quantile(self, share: float) -> float | None:
        """Return the duration that this share of the counted ones did not exceed.

        Args:
            share: From 0 to 1: 0.5 for the median, 0.99 for p99.

        Returns:
            Seconds, the middle of the bucket that holds the duration; None where nothing was counted.

        Raises:
            ValueError: If the share is not between 0 and 1.
        """
        if not 0 <= share <= 1:
            raise ValueError("share: pass a number from 0 to 1")
        rank, passed = max(1, math.ceil(share * self.count)), 0
        for step, count in enumerate(self._buckets):
            passed += count
            if count and passed >= rank:
                return float(_FIRST_S * 2 ** ((step - 0.5) / _PER_DOUBLING))
        return None


def _in_words(elapsed_s: float | None) -> str:
    return "unknown" if elapsed_s is None else f"{elapsed_s * 1000:,.2f} ms"


def _upper_s(step: int) -> float:
    return math.inf if step == _BUCKETS else float(_FIRST_S * 2 ** (step / _PER_DOUBLING))
