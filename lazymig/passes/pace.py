"""What a pass measures while it runs: whether the server has become slower, and how large a batch should be."""

from __future__ import annotations

from collections.abc import Callable

#: The weight of the newest measurement in the moving average.
_NEWEST = 0.2
#: Measurements before the average is meaningful.
_MEANINGFUL_FROM = 5
#: How many times slower than its best the server must be to count as slow, and the seconds per page that a client would
#: notice at all.
_SLOWER, _NOTICED_S = 4.0, 0.05
#: The part that is left, with each page, of the size of the largest page.
_FORGOTTEN = 0.95
#: The aim in seconds per batch: long compared with a round trip, and short enough to stop soon.
_BATCH_S = 0.5
_BATCH_MIN = 100


class _Average:
    def __init__(self) -> None:
        self.now = 0.0
        self.best = float("inf")
        self._count = 0

    def add(self, value: float) -> None:
        self._count += 1
        # The plain mean at first: the first measurement includes new connections and would otherwise count for long.
        self.now += (value - self.now) * max(_NEWEST, 1 / self._count)
        if self._count >= _MEANINGFUL_FROM:
            self.best = min(self.best, self.now)


class Latency:
    """Compares the average time of finding a page with the best average so far.

    Times are per document, and separate for whole documents and for ids. Both sides of the comparison include the
    pass's own work on the event loop.
    """

    def __init__(self) -> None:
        self._averages = {False: _Average(), True: _Average()}
        self._largest = {False: 0.0, True: 0.0}
        self.slow = False

    def note_page(self, whole: bool, documents: int, seconds: float) -> None:
        """Note how long a page took. Small pages do not count, because a round trip dominates them."""
        # It follows pages that become smaller for good, or the pass would be taken for slow without end.
        self._largest[whole] = max(self._largest[whole] * _FORGOTTEN, documents)
        if documents * 2 < self._largest[whole]:
            return
        average = self._averages[whole]
        average.add(seconds / documents)
        self.slow = average.now > _SLOWER * average.best and average.now * documents > _NOTICED_S


class BatchSize:
    """The number of documents per batch that takes about half a second, within the user's limit.

    `find_room` returns how many are allowed now, of the most and the fewest per batch.
    """

    def __init__(
        self, most: int, rate_limit: float | None, find_room: Callable[[int, int], int] = lambda most, _: most
    ) -> None:
        self._given = self._size = most
        self._find_room = find_room
        self.limit(rate_limit)

    def limit(self, rate_limit: float | None) -> None:
        """Allow at most a second's documents, because a batch waits until the rate allows all of it."""
        self.most = self._given if rate_limit is None else max(1, min(self._given, int(rate_limit)))
        self.least = min(_BATCH_MIN, self.most)
        self._size = min(self._size, self.most)

    @property
    def size(self) -> int:
        """The documents of the next batch."""
        return min(self._size, self._find_room(self.most, self.least))

    def note_batch(self, documents: int, seconds: float) -> None:
        """Adapt the size to the time that a batch took. Batches that were not full do not count."""
        if documents < self.size:
            return
        factor = min(max(_BATCH_S / max(seconds, 0.001), 0.5), 2.0)
        self._size = min(max(int(self.size * factor), self.least), self.most)

    def shed(self) -> None:
        """Halve the size, because the server reports overload. Batches that are quick again make it grow."""
        self._size = max(self.size // 2, self.least)
