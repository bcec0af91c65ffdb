"""What V1 lacks: an entity to write, or where entities are parts of documents, a document to put one in.

No statement follows that would check such an answer. So the one that waits for the majority looks again.
"""

from __future__ import annotations

from typing import TypeVar

from lazymig.errors import AlreadyExists, NotFound
from lazymig.protocol.pair import Pair
from lazymig.stores.documents import decode_id
from lazymig.stores.given import RawId

V1 = TypeVar("V1")
V2 = TypeVar("V2")


async def check_missing(pair: Pair[V1, V2], id: RawId) -> None:
    """Raise `NotFound` where a local read found no entity, unless it is back: a fail-over took back a delete."""
    if await pair.v1.confirm_missing(id):
        raise NotFound(decode_id(id))


async def explain_refusal(pair: Pair[V1, V2], id: RawId) -> int:
    """Return the revision that the next attempt must exceed, where V1 took no insert but has a place for it now.

    Raises `AlreadyExists`, or `NotFound` where there is no document that the entity could be a part of.
    """
    place = await pair.v1.find_place(id)
    if place.held:
        raise AlreadyExists(decode_id(id))
    if not place.stands and await pair.v1.confirm_no_place(id):
        raise NotFound(decode_id(id), part=True)
    return place.revision
