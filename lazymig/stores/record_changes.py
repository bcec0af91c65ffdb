"""The change stream of one row of the control collection: it says that something changed, and never what."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import suppress

from pymongo.errors import PyMongoError

from lazymig.stores.drivers import Driver, Handle, await_if_needed, driver_of

#: Connections of a client below which an open stream takes too many: it occupies one all the time.
_CONNECTIONS = 5
#: Milliseconds that the server waits for a change before it answers that there is none.
_WAIT_MS = 5000


class RecordChanges:
    """The changes of one row's epoch, and its end."""

    def __init__(self, collection: Handle, id: str) -> None:
        #: Whether there are changes to see, and a connection to spare for that. In memory there are none.
        self.possible = driver_of(collection) is not Driver.MEMORY and _can_spare_one(collection)
        self._collection = collection
        # Not each process that joins: then all processes would look at the record for each one of them.
        moves = [{"operationType": {"$ne": "update"}}, {"updateDescription.updatedFields.epoch": {"$exists": True}}]
        # Only the position leaves the server.
        self._pipeline: list[dict[str, object]] = [
            {"$match": {"documentKey._id": id, "$or": moves}},
            {"$project": {"_id": 1}},
        ]

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


def _can_spare_one(collection: Handle) -> bool:
    # While the stream waits for a change, nobody else uses its connection.
    most = collection.database.client.options.pool_options.max_pool_size
    return not most or most >= _CONNECTIONS
