"""Repair: bring V2 to what V1 holds now, where V2 is known or suspected to be wrong although it is clean.

The invariant says that a clean document is V1's current revision. Programs that write V1 without lazymig break it, and
so does damage to V2. No step that trusts V2's revision can notice either, so these steps trust V1 alone.
"""

from __future__ import annotations

from typing import TypeVar

from lazymig.errors import NotFound
from lazymig.protocol.edits import Renew
from lazymig.protocol.pair import Pair
from lazymig.protocol.reading import read
from lazymig.protocol.writing import write
from lazymig.stores.given import RawId
from lazymig.telemetry import HEALED

V1 = TypeVar("V1")
V2 = TypeVar("V2")


async def repair(pair: Pair[V1, V2], id: RawId) -> bool:
    """Bring V2 to what V1 holds now, whatever V2 claims. False: V1 does not hold the entity, and V2 no longer does.

    Driver errors pass through. Raises `ConversionError` where V1's document does not convert, and `Contention`.
    """
    if await pair.bodies.find(id) is None:
        # Nothing to distrust: a lazy migration stores V1's conversion, and only while V2 is absent.
        return await read(pair, id) is not None
    try:
        # The ticket comes first, as in every write: V2 does not answer from then on. V1's compare-and-set gives V1 a
        # new revision, so that no write that started from V2's wrong body can win.
        await write(pair, id, Renew(pair.conversions))
    except NotFound:
        await _bury(pair, id)
        return False
    pair.tally.count(HEALED)
    return True


async def _bury(pair: Pair[V1, V2], id: RawId) -> None:
    """Replace V2's body of an entity that V1 lost by a tombstone, at the last announced revision.

    The write before found V1 without the entity and left its announcement open. An insert since then raised the intent
    and removed the body in one statement, so this finds no body to bury, or comes too late.
    """
    seen = await pair.bodies.find(id)
    if seen is None or seen.gone or seen.clean:
        return
    if await pair.v1.find(id) is None:
        await pair.bodies.bury(id, seen.intent, since=seen.intent)
        pair.tally.count(HEALED)
