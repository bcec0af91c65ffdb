"""Writes while V2 answers and lists: acknowledged only once V2 has them too. V1 stays the truth, and exact."""

from __future__ import annotations

from typing import TypeVar

from pymongo.errors import PyMongoError

from lazymig.errors import LazymigError
from lazymig.protocol.edits import Change, Edit
from lazymig.protocol.inserting import announce_and_insert
from lazymig.protocol.pair import Pair
from lazymig.protocol.writing import Done, announce_and_move, bring_v2_up, revive
from lazymig.stores.documents import decode_id
from lazymig.stores.given import RawId
from lazymig.stores.records import Applied
from lazymig.telemetry import LEFT_DIRTY, REFUSED

V1 = TypeVar("V1")
V2 = TypeVar("V2")


async def write(pair: Pair[V1, V2], id: RawId, edit: Edit) -> Change | None:
    """Change or delete one entity; return the change, None for a delete. Three round trips.

    Raises `NotFound`, `Contention`, or what the edit raises; then nothing was written. Any other error leaves open
    whether V1 has the write. Reads answer what V1 has in either case.
    """
    done = await announce_and_move(pair, id, edit)
    await _finish(pair, id, done)
    return done.change


async def insert(pair: Pair[V1, V2], id: RawId, change: Change) -> None:
    """Store a new entity. Three round trips. Raises `AlreadyExists`, and other errors as `write` does."""
    await _finish(pair, id, await announce_and_insert(pair, id, change))


async def _finish(pair: Pair[V1, V2], id: RawId, done: Done) -> None:
    """Bring V2 up to V1, and wait for it: a listing finds only what V2 holds."""
    try:
        outcome = await bring_v2_up(pair, id, done)
        if outcome is Applied.NEWER:
            await revive(pair, id, done)
    except PyMongoError:
        pair.tally.count(LEFT_DIRTY)
        raise
    if outcome is Applied.REFUSED:
        pair.tally.count(REFUSED)
        raise LazymigError(
            f"V2 refuses the body of the entity with id {decode_id(id)!r}, by a unique index, a validator or its size, "
            "or because it is being sealed for v2_only. V1 has the write and reads answer it, but listings may miss "
            "it: change the index or the entity"
        )
