"""What this process's dark reads found of each group, and its publication in the control collection.

A row per process, written behind the callers at most every ten seconds, so that `lazymig phase show` can sum them up.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, TypeAlias
from uuid import uuid4

from pymongo.errors import PyMongoError

from lazymig.control import CutOver, FiguresRecord, FiguresRows, GroupFigures
from lazymig.control.figures import SideName
from lazymig.loop.background import Background
from lazymig.loop.clock import Clock
from lazymig.loop.deadline import Deadline
from lazymig.stores.given import RawId

#: Says to which group an entity belongs.
FindGroup: TypeAlias = Callable[[RawId], str]
#: Seconds between two publications, and seconds that one may take.
PUBLISH_S: Final = 10.0
_TIMEOUT_S: Final = 5.0


class Figures:
    """The figures of one process under one cut-over."""

    def __init__(self, find_group: FindGroup, publish: Callable[[], None] = lambda: None) -> None:
        self._find_group = find_group
        #: Starts a publication if one is due.
        self.publish = publish
        #: Called before the first figure is noted.
        self.enter: Callable[[], None] = lambda: None
        self.groups: dict[str, GroupFigures] = {}

    def note_answers(self, ids: Sequence[RawId], side: SideName, elapsed_s: float | None = None) -> None:
        """Count answers of one side; `elapsed_s` is how long the read of a single entity took."""
        for id in ids:
            figures = self._of(id).side(side)
            figures.asked += 1
            if elapsed_s is not None:
                figures.latency.record(elapsed_s)

    def note_failure(self, ids: Sequence[RawId], side: SideName) -> None:
        """Count reads of one side that ended in an error or took too long."""
        for id in ids:
            figures = self._of(id).side(side)
            figures.asked += 1
            figures.failed += 1

    def note_outcome(self, id: RawId, outcome: str) -> None:
        """Count what one comparison found."""
        self._of(id).counts[outcome] += 1

    def _of(self, id: RawId) -> GroupFigures:
        name = self._find_group(id)
        if (group := self.groups.get(name)) is None:
            if not self.groups:
                self.enter()
            group = self.groups[name] = GroupFigures()
        return group


class Publisher:
    """Writes the figures of one process to the control collection, behind its callers."""

    def __init__(self, rows: FiguresRows, clock: Clock) -> None:
        self._rows = rows
        self._clock = clock
        self._key = uuid4().hex
        self._name = f"{socket.gethostname()}:{os.getpid()}"
        self._background = Background(1)
        self._at_s: float | None = None
        self._choice: tuple[CutOver, tuple[str, ...]] | None = None
        self._figures = Figures(str)
        #: How many have begun, and which of them is published.
        self._begun = self._current = 0

    def begin(self, figures: Figures, cut_over: CutOver, undeclared: tuple[str, ...]) -> None:
        """Publish these figures from their first one on, in place of those that began earlier. Nothing is sent yet.

        A stage may be built only to look at it, or for a pass. It notes nothing, and takes no place.
        """
        self._begun += 1
        figures.enter = partial(self._enter, self._begun, figures, (cut_over, undeclared))

    def _enter(self, number: int, figures: Figures, choice: tuple[CutOver, tuple[str, ...]]) -> None:
        if number > self._current:  # a call of an earlier choice may end late
            self._current, self._figures, self._choice, self._at_s = number, figures, choice, None

    def publish(self) -> None:
        """Start a publication if one is due. Returns at once, and never raises."""
        if self._choice is None or not self._background.free:
            return
        now_s = self._clock.monotonic()
        if self._at_s is not None and now_s - self._at_s < PUBLISH_S:
            return
        self._at_s = now_s
        self._background.start(self._write())

    async def drain(self) -> None:
        """Wait for a running publication, and publish once more."""
        await self._background.drain(_TIMEOUT_S)
        if self._figures.groups:
            await self._write()

    async def _write(self) -> None:
        assert self._choice is not None
        record = FiguresRecord(self._key, self._name, *self._choice, self._figures.groups, self._clock.now())
        try:
            async with Deadline(_TIMEOUT_S):
                await self._rows.record(record)
        except PyMongoError:
            pass  # the next publication holds these figures as well
