"""Handling batches: judge the events, heal what was not announced, and look again at what is open."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import TypeVar

from attrs import frozen

from lazymig.control import Control
from lazymig.following.feed import Batch
from lazymig.following.healing import Healer
from lazymig.following.judging import Finding, Memory
from lazymig.following.looking import Lookout
from lazymig.following.report import Histogram
from lazymig.following.standing import Doubt, Part, Standing
from lazymig.loop.clock import Clock
from lazymig.protocol.bodies import HEAL_AFTER
from lazymig.protocol.pair import Pair
from lazymig.stores.events import Changes, Event, Operation
from lazymig.stores.given import RawId
from lazymig.telemetry import FOLLOWED, ROGUE, STALENESS

V1 = TypeVar("V1")
V2 = TypeVar("V2")

#: Seconds between two looks at what is open, and how much of it is looked at.
_LOOK_AGAIN_S, _LOOKED_AT = 0.1, 1000


@frozen(kw_only=True)
class Terms:
    """How batches are handled."""

    #: Entities that are healed at a time.
    concurrency: int
    #: The longest time that an operation may be in flight. A tombstone stands for longer.
    in_flight: timedelta
    clock: Clock


class Handler:
    """Handles batches of one process."""

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
        self._healer = Healer(pair, control, counts, concurrency=terms.concurrency)
        self._changes = changes
        self._counts = counts
        self._terms = terms
        self._looked_s = float("-inf")

    async def handle(self, batch: Batch) -> None:
        """Judge a batch and heal what it changed unannounced. Once this returns, all but its open events is durable."""
        assert batch.token is not None  # a batch with events
        events = [event for event in batch.events if self._lookout.can_hold(event.id)]
        findings = await self._lookout.judge(events, self.memory)
        part = Part(batch.token)
        now_s = self._terms.clock.monotonic()
        doubts = [
            Doubt(event, part, now_s) for event, found in zip(events, findings, strict=True) if found is Finding.OPEN
        ]
        part.open = len(doubts)
        await self._heal([(event, part, found) for event, found in zip(events, findings, strict=True)])
        self.standing.doubts += doubts
        self.standing.add(part)
        self._counts["events"] += len(batch.events)
        self._tally.count(FOLLOWED, len(batch.events))

    async def look_again(self) -> None:
        """Look again at events that were open. What stays open for long is healed: its writer is probably dead."""
        now_s, standing = self._terms.clock.monotonic(), self.standing
        if not standing.doubts or now_s - self._looked_s < _LOOK_AGAIN_S:
            return
        looked, rest = standing.doubts[:_LOOKED_AT], standing.doubts[_LOOKED_AT:]
        findings = await self._lookout.judge_again([doubt.event for doubt in looked])
        left, judged, overdue = [], [], {}
        for doubt, found in zip(looked, findings, strict=True):
            if found is not Finding.OPEN:
                judged.append((doubt.event, doubt.part, found))
            elif now_s - doubt.since_s < HEAL_AFTER.total_seconds():
                left.append(doubt)
            else:
                overdue[doubt.event.id] = doubt.event.operation
        await self._heal(judged)
        # Not counted: nothing shows whether it was announced.
        await self._healer.heal_ids(overdue)
        for doubt in looked:
            doubt.part.open -= doubt not in left
        standing.doubts = left + rest
        self._looked_s = now_s

    async def _heal(self, judged: Sequence[tuple[Event, Part, Finding]]) -> None:
        rogue = [(event, part, found) for event, part, found in judged if found in (Finding.ROGUE, Finding.VANISHED)]
        if not rogue:
            return
        await self._healer.heal_ids(_find_wanted(event for event, _, _ in rogue))
        now = await self._changes.now()
        for event, part, found in rogue:
            age = now - event.at
            if found is Finding.VANISHED and age >= self._terms.in_flight:
                continue  # lazymig may have deleted it, and its tombstone may have been purged since
            self.staleness.add(age.total_seconds())
            self._tally.measure(STALENESS, max(age.total_seconds(), 0.0))
            self._counts[f"rogue {event.operation}"] += 1
            self._tally.count(ROGUE)
            part.count(event)


def _find_wanted(events: Iterable[Event]) -> dict[RawId, Operation]:
    """Return the entities to heal, each once, and whether the present one was inserted or deleted from outside."""
    wanted: dict[RawId, Operation] = {}
    for event in events:
        inserted = wanted.get(event.id) is Operation.INSERT and event.operation is not Operation.DELETE
        wanted[event.id] = Operation.INSERT if inserted else event.operation
    return wanted
