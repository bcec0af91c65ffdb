"""Durations in constant memory, for a process's own figures."""

from __future__ import annotations

import math
from collections.abc import Sequence

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
