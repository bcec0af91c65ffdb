"""The log of mismatches in the control collection: bounded, and without contents."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from functools import cached_property

from attrs import evolve

from lazymig.control.mismatches import Mismatches
from lazymig.dark.contests import SOURCE
from lazymig.loop.clock import Clock
from lazymig.stores.documents import raw_id
from lazymig.stores.given import RawId
from lazymig.stores.verdicts import Mismatch

#: How long the ids in the log count as known, in seconds. Other processes add and remove some meanwhile.
_KNOWN_S = 60.0
#: An unchanged mismatch is not recorded again before, in seconds: a damaged entity may be read very often.
_AGAIN_S = 5.0
#: A mismatch that has stood for this long is confirmed.
_MIN_AGE = timedelta(seconds=10)


class Log:
    """One migration's mismatches that dark reads found. What a verification found is left to it.

    The bound counts the rows of all processes. It is checked against what this process knew at most a minute ago, so
    several processes may exceed it by what they add within a minute.
    """

    def __init__(self, open_mismatches: Callable[[], Mismatches], clock: Clock, migration: str, limit: int) -> None:
        self._open_mismatches = open_mismatches
        self._clock = clock
        self._migration = migration
        self._limit = limit
        self._known: set[RawId] = set()
        #: What this process recorded last for an entity: the signature, and when.
        self._recorded: dict[RawId, tuple[str, float]] = {}
        self._looked_at_s: float | None = None
        self._turn = asyncio.Lock()

    @cached_property
    def _mismatches(self) -> Mismatches:
        # Opened when it is needed, so that repositories without a database, such as the explorer's, need none.
        return self._open_mismatches()

    async def add(self, mismatch: Mismatch) -> None:
        """Record a mismatch, unless the log is full or a verification has recorded the entity."""
        id = raw_id(mismatch.id)
        if not self._limit or self._is_recent(id, mismatch):
            return
        async with self._turn:
            await self._look()
            if self._is_recent(id, mismatch):
                return
            if id not in self._known and len(self._known) >= self._limit:
                return
            held = await self._mismatches.find(self._migration, id)
            if held is not None and held.source != SOURCE:
                return
            confirmed = held is not None and self._has_stood(held, mismatch)
            await self._mismatches.record(self._migration, [evolve(mismatch, confirmed=confirmed)])
            self._known.add(id)
            self._recorded[id] = (mismatch.signature, self._clock.monotonic())

    def _is_recent(self, id: RawId, mismatch: Mismatch) -> bool:
        signature, at_s = self._recorded.get(id, ("", 0.0))
        return signature == mismatch.signature and self._clock.monotonic() - at_s < _AGAIN_S

    def may_hold(self, id: RawId) -> bool:
        """Whether the log may hold the entity: it does, or it was not looked at for long."""
        return bool(self._limit) and (self._is_due or id in self._known)

    async def forget(self, id: RawId) -> None:
        """Remove an entity's mismatch, because both sides were found equal."""
        async with self._turn:
            await self._look()
            if id not in self._known:
                return
            held = await self._mismatches.find(self._migration, id)
            if held is not None and held.source == SOURCE:
                await self._mismatches.remove(self._migration, [id])
            self._known.discard(id)
            self._recorded.pop(id, None)

    def _has_stood(self, held: Mismatch, mismatch: Mismatch) -> bool:
        if held.signature != mismatch.signature or held.since is None:
            return False
        return self._clock.now() - held.since >= _MIN_AGE

    @property
    def _is_due(self) -> bool:
        return self._looked_at_s is None or self._clock.monotonic() - self._looked_at_s > _KNOWN_S

    async def _look(self) -> None:
        """Read which ids the log holds, if that was long ago. A failure is not repeated at once."""
        if not self._is_due:
            return
        self._looked_at_s = self._clock.monotonic()
        known: set[RawId] = set()
        async for page in self._mismatches.find_pages(self._migration, source=SOURCE, size=self._limit):
            known |= {raw_id(one.id) for one in page}
            if len(known) >= self._limit:
                break
        self._known = known
        self._recorded = {id: recorded for id, recorded in self._recorded.items() if id in known}
