"""Looking at both sides of many entities: revisions and announcements, and nothing of their contents."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeVar

from lazymig.errors import ForeignDocument
from lazymig.following.judging import Finding, Memory, Sight, judge, judge_at_once
from lazymig.protocol.pair import Pair
from lazymig.stores.chunks import split_ids
from lazymig.stores.documents import META_FIELD, decode_id, parse_v2_or_error
from lazymig.stores.events import Event
from lazymig.stores.given import RawId
from lazymig.stores.records import StoredV2
from lazymig.stores.scans import Scan

V1 = TypeVar("V1")
V2 = TypeVar("V2")


class Lookout:
    """Judges events by what both collections hold now."""

    def __init__(self, pair: Pair[V1, V2]) -> None:
        self._migration = pair.conversions.migration
        # By majority: an event is of the majority, and a revision that can be rolled back proves nothing.
        self._v1 = Scan(pair.v1, majority=True)
        # Locally, on the primary, which has every announcement. One that was deposed may not know the last ones for
        # some seconds, as with any read: an announced write then looks rogue, and is healed without harm.
        self._v2 = Scan(pair.bodies)

    def can_hold(self, id: RawId) -> bool:
        """Whether an entity can have this id. No other is sent to a server."""
        try:
            self._migration.check_id(decode_id(id))
        except TypeError:
            return False
        return True

    async def judge(self, events: Sequence[Event], memory: Memory) -> list[Finding]:
        """Judge new events, in their order."""
        before = await self._find_v2(event.id for event in events)
        lasts = memory.trace(events)
        findings = [judge_at_once(event, before.get(event.id), last) for event, last in zip(events, lasts, strict=True)]
        asked = [event for event, finding in zip(events, findings, strict=True) if finding is Finding.ASK]
        answers = iter(await self._compare(asked, before))
        return [next(answers) if finding is Finding.ASK else finding for finding in findings]

    async def judge_again(self, events: Sequence[Event]) -> list[Finding]:
        """Judge events that were open."""
        return await self._compare(events, await self._find_v2(event.id for event in events))

    async def _compare(self, events: Sequence[Event], before: dict[RawId, StoredV2]) -> list[Finding]:
        ids = dict.fromkeys(event.id for event in events)
        # V2, V1, V2 again, in this order: see `Sight`.
        v1 = await self._find_v1(ids)
        after = await self._find_v2(ids) if ids else {}
        return [judge(event, Sight(before.get(event.id), v1.get(event.id), after.get(event.id))) for event in events]

    async def _find_v1(self, ids: Iterable[RawId]) -> dict[RawId, int]:
        found = [stored for part in split_ids(list(ids)) for stored in await self._v1.find_revisions(part)]
        return {stored.id: stored.revision for stored in found}

    async def _find_v2(self, ids: Iterable[RawId]) -> dict[RawId, StoredV2]:
        parts = split_ids(list(dict.fromkeys(ids)))
        rows = [row for part in parts for row in await self._v2.find_fields(part, META_FIELD)]
        # A document that lazymig did not store counts as absent: no read trusts it.
        found = [one for one in map(parse_v2_or_error, rows) if not isinstance(one, ForeignDocument)]
        return {stored.id: stored for stored in found}
