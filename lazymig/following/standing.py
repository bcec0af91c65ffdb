"""Which batches are done, so that only a position is stored before which nothing is open."""

from __future__ import annotations

from collections import Counter, deque
from datetime import datetime

from attrs import define, field, frozen

from lazymig.stores.events import Event, Token

#: Changes that were not announced, by hour and operation.
Rogue = Counter[tuple[datetime, str]]


@define(eq=False)
class Part:
    """A handled batch: the position after it, what was counted, and how many of its events are open."""

    token: Token
    #: When its first change happened; None without changes.
    since: datetime | None = None
    rogue: Rogue = field(factory=Counter)
    open: int = 0

    def count(self, event: Event) -> None:
        """Count a change that was not announced."""
        self.rogue[event.at.replace(minute=0, second=0, microsecond=0), str(event.operation)] += 1


@frozen
class Doubt:
    """An event that was open, and when it was seen first."""

    event: Event
    part: Part
    since_s: float


class Standing:
    """Handled batches in their order, until their position is stored.

    Counts are stored with the position behind them and never before: a batch that is handled again after a crash is
    counted once.
    """

    def __init__(self) -> None:
        self._parts: deque[Part] = deque()
        self.doubts: list[Doubt] = []

    def add(self, part: Part) -> None:
        """Add a batch that was handled, except for its open events."""
        self._parts.append(part)

    def clear(self) -> None:
        """Forget all: a verification covers it."""
        self._parts.clear()
        self.doubts = []

    def find_done(self) -> tuple[Token, Rogue, int] | None:
        """Return the last position before which nothing is open, what was counted up to it, and how many batches."""
        token, rogue, count = None, Rogue(), 0
        for part in self._parts:
            if part.open:
                break
            token, count = part.token, count + 1
            rogue.update(part.rogue)
        return None if token is None else (token, rogue, count)

    def find_oldest(self) -> datetime | None:
        """Return when the oldest change happened that is not done; None where all is."""
        return next((part.since for part in self._parts if part.open), None)

    def drop(self, count: int) -> None:
        """Drop batches whose position was stored."""
        for _ in range(count):
            self._parts.popleft()
