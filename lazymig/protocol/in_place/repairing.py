"""Repair: make V2's part what V1's part converts to, although its fingerprint says that it is that already.

No step that trusts the fingerprint can notice damage to V2's part, so this one trusts V1's part alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from attrs import evolve

from lazymig.errors import Contention
from lazymig.protocol.in_place.composing import compose_fill
from lazymig.protocol.in_place.parts import Parts
from lazymig.protocol.in_place.place import Place
from lazymig.protocol.waiting import back_off
from lazymig.stores.documents import decode_id
from lazymig.stores.given import RawId
from lazymig.stores.records import WholeChange
from lazymig.telemetry import HEALED, MIGRATED, REFUSED

V1 = TypeVar("V1")
V2 = TypeVar("V2")


async def repair(place: Place[V1, V2], id: RawId) -> bool:
    """Store a fresh conversion of V1's part. False: the document is gone, or its V2 part is not made of V1's.

    The document gets a new revision, so that no write that started from the wrong V2 part can win. A program that
    changes V1's part meanwhile changes its fingerprint, so that V2's part is behind and does not answer.

    Driver errors pass through. Raises `ConversionError` where V1's part does not convert, and `Contention`.
    """
    for attempt in range(place.max_attempts):
        stored = await place.store.find_local(id)
        if stored is None:
            return False
        parts = Parts(place, stored)
        parts.check()
        if parts.alone or not parts.may_fill:
            return False
        change = compose_fill(parts, place.conversions.v2_stored(await parts.made()), "read")
        change = evolve(change, meta={**change.meta, "rev": stored.revision + 1})
        filled = await place.store.fill_each([change], durable=True)
        place.tally.count(HEALED, filled.stored)
        place.tally.count(REFUSED, len(filled.refused))
        if filled.stored or filled.refused:
            return True
        await back_off(place, attempt)
    raise Contention(decode_id(id), place.max_attempts)


async def catch_up(place: Place[V1, V2], changes: Sequence[WholeChange]) -> tuple[int, list[WholeChange]]:
    """Store V2 parts that were behind, and return how many, and those that the server refuses.

    A document that has changed since stays as it is.
    """
    filled = await place.store.fill_each(changes, durable=True)
    place.tally.count(MIGRATED, filled.stored)
    place.tally.count(REFUSED, len(filled.refused))
    return filled.stored, [changes[number] for number in filled.refused]
