"""What a pass measures of itself: whether the server has become slower, and how much goes into a batch."""

from __future__ import annotations

#: The weight of the newest measurement in the moving average.
_NEWEST = 0.2
#: Measurements before the average says anything.
_MEANINGFUL_FROM = 5
#: How much slower than at its best the server must be to count as busy, and in seconds per page, below which no
#: client would notice.
_SLOWER, _NOTICED_S = 4.0, 0.05
#: Aimed at per batch: long enough for a round trip not to matter, short enough to stop soon.
_BATCH_S = 0.5
_BATCH_MIN = 100


class _Average:
    def __init__(self) -> None:
        self.now = 0.0
        self.best = float("inf")
        self._count = 0

    def add(self, value: float) -> None:
        self._count += 1
        # The plain mean at first: the very first measurement, with its new connections, would weigh for long.
        self.now += (value - self.now) * max(_NEWEST, 1 / self._count)
        if self._count >= _MEANINGFUL_FROM:
            self.best = min(self.best, self.now)


class Latency:
    """Compares the time that finding a page takes with the best that it ever took on average.

    Measured per document, and apart for whole documents and for ids. The pass's own work on the event loop is in both
    sides of the comparison.
    """

    def __init__(self) -> None:
        self._averages = {False: _Average(), True: _Average()}
        self._largest = {False: 0, True: 0}
        self.slow = False

    def note_page(self, whole: bool, documents: int, seconds: float) -> None:
        """Note how long a page took. Small pages do not count: they cost a round trip, whatever their size."""
        self._largest[whole] = max(self._largest[whole], documents)
        if documents * 2 < self._largest[whole]:
            return
        average = self._averages[whole]
        average.add(seconds / documents)
        self.slow = average.now > _SLOWER * average.best and average.now * documents > _NOTICED_S


class BatchSize:
    """Documents per batch: as many as are done in about half a second, at most what the user allows."""

    def __init__(self, most: int, rate_limit: float | None) -> None:
        # A second's worth at most: a batch waits until the rate allows all of it.
        self._most = most if rate_limit is None else max(1, min(most, int(rate_limit)))
        self._least = min(_BATCH_MIN, self._most)
        self.size = self._most

    def note_batch(self, documents: int, seconds: float) -> None:
        """Adapt the size to the time that a batch took; one that was not full says nothing."""
        if documents < self.size:
            return
        factor = min(max(_BATCH_S / max(seconds, 0.001), 0.5), 2.0)
        self.size = min(max(int(self.size * factor), self._least), self._most)
