"""Distrusting V2: what it holds from an earlier time, when nobody announced writes, must not answer.

Processes in `v1_only` write V1 without a word to V2. So what V2 holds from before is out of date, and looks clean.
Before the fleet goes from `prepare` to `shadow`, every document's intent is raised: then V1 answers for it, and what is
stored there next is made from V1. Bodies stay, for what only V2 can express.
"""

from __future__ import annotations

from typing import TypeVar

from lazymig.protocol.pair import Pair
from lazymig.stores.documents import raw_id
from lazymig.stores.keyset import BY_ID
from lazymig.stores.raw import decode_for_id
from lazymig.stores.records import Document
from lazymig.stores.scans import Scan

V1 = TypeVar("V1")
V2 = TypeVar("V2")

#: Documents per statement: about a hundredth of a second.
_BATCH = 1000


async def raise_all_intents(pair: Pair[V1, V2], *, batch: int = _BATCH) -> int:
    """Raise every intent in V2 by one, durably, in the order of the ids; return how many were raised.

    Only for a fleet of which every process is in `prepare`. Interrupted, it begins again: raising twice is harmless.
    Documents that come meanwhile are announcements, which no one trusts. Driver errors pass through.
    """
    scan, raised = Scan(pair.bodies), 0
    where: Document = {}
    while True:
        found = await scan.find_ids(where, batch)
        ids = [raw_id(decode_for_id(document)["_id"]) for document in found]
        if ids:
            raised += await pair.ledger.raise_each(ids)
        if len(ids) < batch:
            return raised
        where = scan.after(BY_ID, {"_id": ids[-1]})
