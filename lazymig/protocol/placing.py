"""Why V1 takes no insert: the entity exists, or where it is a part of a document, there is no such document."""

from __future__ import annotations

from typing import TypeVar

from lazymig.errors import AlreadyExists, NotFound
from lazymig.protocol.pair import Pair
from lazymig.stores.documents import decode_id
from lazymig.stores.given import RawId

V1 = TypeVar("V1")
V2 = TypeVar("V2")


async def explain_refusal(pair: Pair[V1, V2], id: RawId) -> int:
    """Return the revision that the next attempt must exceed, where V1 took no insert but has a place for it now.

    Raises `AlreadyExists`, or `NotFound` where there is no document that the entity could be a part of.
    """
    place = await pair.v1.find_place(id)
    if place.held:
        raise AlreadyExists(decode_id(id))
    if not place.stands:
        await pair.v1.confirm_missing(id)  # no statement follows that would check this answer
        raise NotFound(decode_id(id), part=True)
    return place.revision
