"""The time of day of the server that keeps V2: ages of marks are measured by the clock that wrote them.

A client whose own clock is wrong by an hour must neither purge a young tombstone nor heal a mark of a living writer.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from lazymig.loop.clock import Clock
from lazymig.stores.drivers import Driver, Handle, driver_of

#: How long one look at the server's clock is good for: a fail-over may bring another clock.
_GOOD_FOR_S = 60.0


class ServerTime:
    """Asks the server for its time once a minute at most, and counts on by the monotonic clock.

    In memory it is the repository's own clock.
    """

    def __init__(self, collection: Handle, clock: Clock) -> None:
        self._collection = collection
        self._clock = clock
        self._in_memory = driver_of(collection) is Driver.MEMORY
        self._asked_at_s = float("-inf")
        self._answer: datetime = datetime.min

    async def now(self) -> datetime:
        """The server's time of day, naive UTC. Driver errors pass through."""
        if self._in_memory:
            return self._clock.now()
        asked_at_s = self._clock.monotonic()
        if asked_at_s - self._asked_at_s > _GOOD_FOR_S:
            hello = await self._collection.database.client.admin.command("hello")
            # As it was when it was asked: an answer that took long makes ages look too small, never too large.
            self._answer, self._asked_at_s = hello["localTime"].replace(tzinfo=None), self._clock.monotonic()
        return self._answer + timedelta(seconds=self._clock.monotonic() - self._asked_at_s)
