"""The changes of one collection as the server reports them: what happened to which id, and never any contents."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from bson import Int64, Timestamp
from pymongo.errors import ConnectionFailure, OperationFailure, PyMongoError

from lazymig.errors import ConfigurationError
from lazymig.loop.clock import Clock
from lazymig.stores.carried import carried_of
from lazymig.stores.documents import raw_id
from lazymig.stores.drivers import (
    LENIENT,
    READ_MAJORITY,
    Driver,
    Handle,
    await_if_needed,
    collection_of,
    driver_of,
    is_server_state,
    tune,
)
from lazymig.stores.given import RawId, Store
from lazymig.stores.relevance import make_stages
from lazymig.stores.server_time import ServerTime

if TYPE_CHECKING:
    from pymongo.asynchronous.change_stream import AsyncChangeStream
    from pymongo.asynchronous.database import AsyncDatabase

#: A position in the stream: the server's resume token.
Token: TypeAlias = Mapping[str, object]

_NO_STREAMS = (
    "following needs a replica set or a sharded cluster, whose servers report changes; {} does not. Start mongod with "
    "--replSet and run rs.initiate(), which one server is enough for. Without it, open the repository with "
    "checked=True while other programs write V1"
)
#: The server's code where it has no change streams: it is standalone.
_NOT_A_REPLICA_SET = 40573
#: Codes of a position that the server cannot continue from: the oplog has moved past it, a change cannot be read, or
#: the token is no token of this server.
_LOST = frozenset({9, 260, 280, 286, 40649, 50811})
_NOT_RESUMABLE = "NonResumableChangeStreamError"
#: Codes of this user's rights, which no second attempt changes.
_RIGHTS = frozenset({13, 18, 391})
#: Codes besides the server's state after which the stream can be opened again: the cursor is gone, or was killed.
_REOPEN = frozenset({43, 237, 11601})
#: What ends a stream: the collection was dropped or renamed, or its database was dropped.
_ENDS = frozenset({"drop", "rename", "dropDatabase", "invalidate"})


class Operation(enum.StrEnum):
    """What happened to a document."""

    INSERT = "insert"
    UPDATE = "update"
    REPLACE = "replace"
    DELETE = "delete"


class Event(NamedTuple):
    """One change of one document.

    `revision` is the value that the change stored as V1's revision, None where it left that alone, removed it, or
    stored what is no revision. `at` is when it happened, naive UTC by the server's clock. `token` is the position after
    it.
    """

    id: RawId
    operation: Operation
    revision: int | None
    at: datetime
    token: Token


class PositionLost(Exception):
    """The server cannot continue from this position; its text is the reason, in words."""


class Changes:
    """The change stream of one collection, with read concern majority: no event can be rolled back.

    A dropped connection is no error the first time, since the driver resumes the stream itself.
    """

    def __init__(self, store: Store, *, batch_size: int, wait_s: float, clock: Clock) -> None:
        """Take a collection. Raises `ConfigurationError` for one in memory."""
        collection = collection_of(store)
        if driver_of(collection) is Driver.MEMORY:
            raise ConfigurationError(_NO_STREAMS.format("an in-memory collection"))
        # Ids as documents hold them, however this client would decode them.
        self._collection = tune(collection, read=READ_MAJORITY, codec=LENIENT)
        self._pipeline = make_stages(carried_of(store))
        self._batch_size = batch_size
        self._wait_ms = int(wait_s * 1000)
        self._time = ServerTime(collection, clock)
        self._stream: AsyncChangeStream[dict[str, object]] | None = None

    async def now(self) -> datetime:
        """Return the time of the server that reports the changes, naive UTC."""
        return await self._time.now()

    async def take_position(self) -> Token:
        """Return the stream's present position: every later change comes after it."""
        try:
            reply = await self._collection.database.command(
                "aggregate", self._watched, pipeline=[{"$changeStream": {}}], cursor={"batchSize": 0},
                readConcern={"level": "majority"},
            )  # fmt: skip
        except OperationFailure as error:
            if error.code != _NOT_A_REPLICA_SET:
                raise
            raise ConfigurationError(_NO_STREAMS.format("this server")) from None
        cursor = reply["cursor"]
        if cursor["id"]:
            await self._collection.database.command("killCursors", self._cursors_of, cursors=[cursor["id"]])
        token: Token = cursor["postBatchResumeToken"]
        return token

    @property
    def _watched(self) -> str | int:
        """What an aggregation of changes names: the collection, or 1 for its database."""
        return str(self._collection.name)

    @property
    def _cursors_of(self) -> str:
        return str(self._collection.name)

    @property
    def _source(self) -> Handle | AsyncDatabase[dict[str, object]]:
        """The driver's object whose changes are watched."""
        return self._collection

    async def open(self, token: Token) -> None:
        """Open the stream after a position. Raises `PositionLost`."""
        await self.close()
        try:
            # Also behind the event of a dropped collection, where `resume_after` would be refused.
            stream = await await_if_needed(
                self._source.watch(
                    self._pipeline, start_after=token, batch_size=self._batch_size, max_await_time_ms=self._wait_ms
                )
            )
            self._stream = stream
            await stream.__aenter__()
        except OperationFailure as error:
            raise _explain(error) from None

    async def next(self) -> Event | Token | None:
        """Return the next event, waiting a moment for it; where there was none, the position now, if it is known.

        Raises `PositionLost` where the collection was dropped or renamed: this stream has no more events.
        """
        assert self._stream is not None  # opened
        try:
            change = await self._stream.try_next()
        except OperationFailure as error:
            raise _explain(error) from None
        if change is None:
            token: Token | None = self._stream.resume_token
            return token
        if change["operationType"] in _ENDS:
            raise PositionLost(f"V1 was dropped or renamed ({change['operationType']})")
        return _parse(change)

    async def close(self) -> None:
        """Close the stream. A server that does not answer is no error: it closes the cursor itself."""
        stream, self._stream = self._stream, None
        if stream is not None:
            with suppress(PyMongoError):
                await stream.close()


def _parse(change: Mapping[str, object]) -> Event:
    key, wall, at = change["documentKey"], change.get("wallTime"), change["clusterTime"]
    assert isinstance(key, Mapping)
    assert isinstance(at, Timestamp)
    if not isinstance(wall, datetime):  # servers before 6.0
        wall = at.as_datetime()
    token = change["_id"]
    assert isinstance(token, Mapping)
    revision = change.get("revision")
    usable = isinstance(revision, int | Int64) and not isinstance(revision, bool) and revision > 0
    # Where an entity is a part of a document, its end is an update.
    operation = Operation.DELETE if change.get("ended") else Operation(str(change["operationType"]))
    return Event(
        raw_id(key["_id"]), operation, int(str(revision)) if usable else None,
        wall.replace(tzinfo=None), token,
    )  # fmt: skip


def _explain(error: OperationFailure) -> Exception:
    """Return the error to raise: that the position is lost, or itself."""
    if error.code not in _LOST and not error.has_error_label(_NOT_RESUMABLE):
        return error
    name = (error.details or {}).get("codeName") or f"code {error.code}"
    return PositionLost(f"the server no longer has the changes after it ({name})")


def is_passing(error: PyMongoError) -> bool:
    """Whether what failed may succeed when it is tried again: the server's state is the reason, not the statement."""
    if isinstance(error, ConnectionFailure):
        return True
    if not isinstance(error, OperationFailure) or error.code in _RIGHTS:
        return False
    return error.code in _REOPEN or is_server_state(error.code, error.details)
