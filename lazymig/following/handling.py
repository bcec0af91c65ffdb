"""Handling batches: judge the events, have healed what was not announced, and look again at what is open."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import TypeVar

from lazymig.control import Control
from lazymig.following.feed import Batch
from lazymig.following.healing import Cause, Healer, Job, Terms, begins_life, heal_one
from lazymig.following.judging import Finding, Memory
from lazymig.following.looking import Lookout
from lazymig.following.standing import Doubt, Part, Standing
from lazymig.histogram import Histogram
from lazymig.metrics import FOLLOW_BATCH
from lazymig.protocol.bodies import HEAL_AFTER
from lazymig.protocol.pair import Pair
from lazymig.stores.events import Changes, Event
from lazymig.telemetry import FOLLOWED, ROGUE, STALENESS

V1 = TypeVar("V1")
V2 = TypeVar("V2")

#: Seconds between two looks at what is open, and how much of it is looked at.
_LOOK_AGAIN_S, _LOOKED_AT = 0.1, 1000


async def handle_events(pair: Pair[V1, V2], events: Sequence[Event]) -> list[Event]:
    """Judge events and heal what was not announced, one after the other; return the events that are open.

    The steps of a follower without its position, its counts and its concurrency: for explorations and tests.
    """
    findings = await Lookout(pair).judge(events, Memory())
    for event, found in zip(events, findings, strict=True):
        if found in (Finding.ROGUE, Finding.VANISHED):
            await heal_one(pair, event.id, inserted=begins_life(event.operation))
    return [event for event, found in zip(events, findings, strict=True) if found is Finding.OPEN]


class Handler:
    """Handles the batches of one claim."""

    def __init__(
        self,
        pair: Pair[V1, V2],
        control: Control,
        changes: Changes,
        counts: Counter[str],
        staleness: Histogram,
        terms: Terms,
    ) -> None:
        self.memory = Memory()
        self.standing = Standing()
        self.staleness = staleness
        self._tally = pair.tally
        self._lookout = Lookout(pair)
        self._healer = Healer(pair, control, changes, counts, terms)
        self._counts = counts
        self._terms = terms
        self._looked_s = float("-inf")

    async def handle(self, batch: Batch) -> None:
        """Judge a batch, and begin to heal what it changed unannounced."""
        with self._tally.span(FOLLOW_BATCH, documents=len(batch.events)):
            await self._handle(batch)

    async def _handle(self, batch: Batch) -> None:
        assert batch.token is not None  # a batch with events
        await self._healer.wait_for_room(self._terms.under_way)
        events = [event for event in batch.events if self._lookout.can_hold(event.id)]
        findings = await self._lookout.judge(events, self.memory)
        part = Part(batch.token, batch.events[0].at)
        self.standing.add(part)
        now_s = self._terms.clock.monotonic()
        for event, found in zip(events, findings, strict=True):
            self._take(event, part, found, now_s)
        self._counts["events"] += len(batch.events)
        self._tally.count(FOLLOWED, len(batch.events))

    def _take(self, event: Event, part: Part, found: Finding, since_s: float) -> None:
        if found is Finding.OURS:
            return
        part.open += 1
        if found is Finding.OPEN:
            self.standing.doubts.append(Doubt(event, part, since_s))
        else:
            self._request(Cause(event, part, fades=found is Finding.VANISHED))

    def _request(self, cause: Cause) -> None:
        self._healer.request(cause.event.id, cause.event.operation, cause)

    async def look_again(self) -> None:
        """Look again at events that were open. What stays open for long is healed: its writer is probably dead."""
        now_s, standing = self._terms.clock.monotonic(), self.standing
        if not standing.doubts or now_s - self._looked_s < _LOOK_AGAIN_S:
            return
        self._looked_s = now_s
        looked = standing.doubts[:_LOOKED_AT]
        findings = await self._lookout.judge_again([doubt.event for doubt in looked])
        standing.doubts = standing.doubts[_LOOKED_AT:]
        for doubt, found in zip(looked, findings, strict=True):
            if found is not Finding.OPEN:
                doubt.part.open -= 1
                self._take(doubt.event, doubt.part, found, doubt.since_s)
            elif now_s - doubt.since_s < HEAL_AFTER.total_seconds():
                standing.doubts.append(doubt)
            else:
                # Not counted: nothing shows whether it was announced.
                self._request(Cause(doubt.event, doubt.part, counts=False))

    async def take_done(self) -> None:
        """Count what was healed meanwhile, durably. Raises what ended a heal."""
        for job in await self._healer.take_done():
            self._count(job)

    def _count(self, job: Job) -> None:
        for cause in job.causes:
            cause.part.open -= 1
            age = job.done_at - cause.event.at
            if not cause.counts or (cause.fades and age >= self._terms.in_flight):
                continue  # lazymig may have deleted it, and its tombstone may have been purged since
            self.staleness.record(age.total_seconds())
            self._counts[f"rogue {cause.event.operation}"] += 1
            self._tally.count(ROGUE)
            self._tally.measure(STALENESS, max(age.total_seconds(), 0.0))
            cause.part.count(cause.event)

    def find_oldest(self) -> datetime | None:
        """Return when the oldest change happened that is not done; None where all is."""
        return self.standing.find_oldest()

    async def drain(self) -> None:
        """Wait for what is being healed."""
        await self._healer.wait_for_room(0)
        await self.take_done()

    async def end(self) -> None:
        """Cancel what is under way."""
        await self._healer.end()
