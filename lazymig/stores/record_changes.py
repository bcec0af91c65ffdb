"""The change stream of one row of the control collection: it says that something changed, and never what."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import suppress

from pymongo.errors import PyMongoError

from lazymig.stores.drivers import Driver, Handle, await_if_needed, driver_of

#: Milliseconds that the server waits for a change before it answers that there is none.
_WAIT_MS = 5000


class RecordChanges:
    """The changes of one row. In memory there are none to see."""

    def __init__(self, collection: Handle, id: str) -> None:
        self.in_memory = driver_of(collection) is Driver.MEMORY
        self._collection = collection
        # Only the position leaves the server.
        self._pipeline: list[dict[str, object]] = [{"$match": {"documentKey._id": id}}, {"$project": {"_id": 1}}]

    async def each(self) -> AsyncGenerator[None]:
        """Yield once the stream is about to open, and at each change after it. Ends where the collection goes away.

        Driver errors pass through; a dropped connection is none the first time, since the driver resumes the stream.
        """
        stream = await await_if_needed(self._collection.watch(self._pipeline, max_await_time_ms=_WAIT_MS))
        try:
            await stream.__aenter__()
            yield
            while stream.alive:
                if await stream.try_next() is not None:
                    yield
        finally:
            with suppress(PyMongoError):
                await stream.close()
