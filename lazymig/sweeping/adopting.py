"""Adopting V2's documents that lazymig did not store: each is replaced by what V1 holds."""

from __future__ import annotations

from collections import Counter
from typing import TypeVar

from lazymig.passes.shedding import as_patient_as
from lazymig.passes.throttle import Throttle
from lazymig.protocol.pair import Pair
from lazymig.stores.foreign import ForeignDocuments
from lazymig.stores.given import RawId
from lazymig.stores.records import Partition
from lazymig.sweeping.moving import Mover
from lazymig.sweeping.remainder import Remainder

V1 = TypeVar("V1")
V2 = TypeVar("V2")

_PAGE = 500
_ALL = Partition("int", None, None)


async def adopt_foreign(pair: Pair[V1, V2], mover: Mover[V1, V2], throttle: Throttle, counts: Counter[str]) -> None:
    """Replace each foreign document by what V1 holds, by one scan of V2; count those that V1 lacks.

    As long as a foreign document exists, no client changes its entity, because its ticket is refused before V1 is
    written. So V1 is the same when the conversion is stored as when it was read.
    """
    foreign = as_patient_as(pair.bodies, ForeignDocuments(pair.bodies))
    truths = Remainder(pair.v1, pair.bodies, _ALL, None, _PAGE)
    last: RawId = None
    while await throttle.wait_for_page() and (found := await foreign.find_ids(_PAGE, last)):
        if not await throttle.wait_for_documents(len(found)):
            return
        known = 0
        async for documents in truths.read_whole(found):
            known += len(documents)
            await mover.move(documents, pair.clock.monotonic(), adopting=True)
        counts["foreign"] += len(found) - known
        last = found[-1]
