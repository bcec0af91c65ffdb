"""Writes that are sent without the driver's retry, because they may be done twice.

To make a retry possible, the server records each write beside it, and of an announcement also what it returned. An
announcement that is made twice is one whose writer has died, and a body that is stored twice is the same body. So both
go without such records. What fails is sent as the driver does it, which retries, and says what is wrong.
"""

from __future__ import annotations

from collections.abc import Sequence

import bson
from bson.raw_bson import RawBSONDocument
from pymongo.errors import DuplicateKeyError, ServerSelectionTimeoutError

from lazymig.stores.drivers import STATEMENT_ERRORS, Handle
from lazymig.stores.records import Document, Fields

#: The server takes 48 MB in one message, and the driver splits only what it sends in its own way.
_MESSAGE_BYTES = 40 * 1024 * 1024


async def transform_once(collection: Handle, where: Document, update: object) -> Fields | None:
    """Upsert one document, and return it. None: that failed, and may have been done.

    Raises `DuplicateKeyError`, and `ServerSelectionTimeoutError` where nothing could be sent.
    """
    command: Fields = {"findAndModify": collection.name, "query": where, "update": update, "new": True, "upsert": True}
    reply = await _send(collection, command)
    return None if reply is None else reply["value"]


async def update_once(collection: Handle, where: Document, made: object, *, upsert: bool = False) -> bool | None:
    """Update one document, and return whether there was one or one was inserted. None: as for `transform_once`."""
    reply = await _update(collection, [{"q": where, "u": made, "upsert": upsert}])
    return None if reply is None or reply.get("writeErrors") else bool(reply["n"])


async def update_each_once(collection: Handle, updates: Sequence[tuple[Document, object]]) -> Sequence[Fields] | None:
    """Upsert many documents in any order, and return the failures of single ones. None: as for `transform_once`."""
    options = collection.codec_options
    parts = [bson.encode({"q": where, "u": made, "upsert": True}, codec_options=options) for where, made in updates]
    if sum(map(len, parts)) > _MESSAGE_BYTES:
        return None
    reply = await _update(collection, list(map(RawBSONDocument, parts)))
    return None if reply is None else reply.get("writeErrors", ())


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
    except STATEMENT_ERRORS:
        return None
    return None if "writeConcernError" in reply else reply
