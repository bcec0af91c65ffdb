"""The time of the server that holds a collection: what clients with different clocks write is ordered by it.

A client whose clock is wrong by an hour must neither purge a young tombstone nor heal the mark of a living writer.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from lazymig.loop.clock import Clock
from lazymig.stores.drivers import Driver, Handle, driver_of

#: Seconds after which the server is asked again: after a fail-over another server's clock counts.
_GOOD_FOR_S = 60.0


class ServerTime:
    """Asks the server for its time at most once a minute, and adds the time since by the monotonic clock.

    In memory it returns the time of the repository's clock.
    """

    def __init__(self, collection: Handle, clock: Clock) -> None:
        self._collection = collection
        self._clock = clock
        self._in_memory = driver_of(collection) is Driver.MEMORY
        self._asked_at_s = float("-inf")
        self._answer: datetime = datetime.min

    async def now(self) -> datetime:
        """Return the server's time, naive UTC. Driver errors pass through."""
        if self._in_memory:
            return self._clock.now()
        asked_at_s = self._clock.monotonic()
        if asked_at_s - self._asked_at_s > _GOOD_FOR_S:
            hello = await self._collection.database.client.admin.command("hello")
            # Counted from the arrival of the answer: a slow answer makes ages too small, never too large.
            self._answer, self._asked_at_s = hello["localTime"].replace(tzinfo=None), self._clock.monotonic()
        return self.reckon()

    def reckon(self) -> datetime:
        """Return the server's time by its last answer, and this machine's before the first. Sends nothing."""
        if self._in_memory or self._answer == datetime.min:
            return self._clock.now()
        elapsed = timedelta(seconds=self._clock.monotonic() - self._asked_at_s)
        now = self._answer + elapsed
        return now.replace(microsecond=now.microsecond // 1000 * 1000)
