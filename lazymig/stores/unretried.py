"""Writes that are sent without the driver's retry, because they may be done twice.

To make a retry possible, the server records each write beside it, and of an announcement also what it returned. An
announcement that is made twice is one whose writer has died, and a body that is stored twice is the same body. So both
go without such records. What fails is sent as the driver does it, which retries, and says what is wrong. A reply that
does not decode, because of the document in it, is such a failure.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, NamedTuple, TypeVar

import bson
from bson.errors import InvalidBSON
from bson.raw_bson import RawBSONDocument
from pymongo.errors import DuplicateKeyError, ServerSelectionTimeoutError

from lazymig.stores.drivers import STATEMENT_ERRORS, Handle
from lazymig.stores.records import Document, Fields

#: The server takes 48 MB in one message, and the driver splits only what it sends in its own way.
_MESSAGE_BYTES = 40 * 1024 * 1024


#: The operators of an update, or its pipeline.
M = TypeVar("M", bound=Document | Sequence[Document])


class Update(NamedTuple, Generic[M]):
    """An update of one document. `upsert`: where its filter matches none, it makes one."""

    where: Document
    made: M
    upsert: bool = True

    @property
    def command(self) -> Fields:
        """The update as a part of a command."""
        return {"q": self.where, "u": self.made, "upsert": self.upsert}


async def transform_once(collection: Handle, where: Document, update: object) -> Fields | None:
    """Upsert one document, and return it. None: that failed, and may have been done.

    Raises `DuplicateKeyError`, and `ServerSelectionTimeoutError` where nothing could be sent.
    """
    command: Fields = {"findAndModify": collection.name, "query": where, "update": update, "new": True, "upsert": True}
    reply = await _send(collection, command)
    return None if reply is None else reply["value"]


async def update_once(collection: Handle, one: Update[M]) -> Fields | None:
    """Update one document, and return the server's reply. None: as for `transform_once`."""
    reply = await _update(collection, [one.command])
    return None if reply is None or reply.get("writeErrors") else reply


async def update_each_once(collection: Handle, updates: Sequence[Update[M]]) -> Fields | None:
    """Update many documents in any order, and return the server's reply. None: as for `transform_once`."""
    parts = [bson.encode(one.command, codec_options=collection.codec_options) for one in updates]
    if sum(map(len, parts)) > _MESSAGE_BYTES:
        return None
    return await _update(collection, list(map(RawBSONDocument, parts)))


async def _update(collection: Handle, updates: Sequence[Document]) -> Fields | None:
    return await _send(collection, {"update": collection.name, "ordered": False, "updates": updates})


async def _send(collection: Handle, command: Document) -> Fields | None:
    concern = collection.write_concern.document
    try:
        reply = await collection.database.command(
            {**command, "writeConcern": concern}, codec_options=collection.codec_options
        )
    except (DuplicateKeyError, ServerSelectionTimeoutError):
        raise
    except (*STATEMENT_ERRORS, InvalidBSON):
        return None
    return None if "writeConcernError" in reply else reply
