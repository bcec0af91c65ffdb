"""What a sweep does in one layout: finding what is left, moving it, and what follows once all pages are done."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from typing import ClassVar, Protocol

from attrs import frozen

from lazymig.control import Control, Identities
from lazymig.passes.throttle import Throttle
from lazymig.passes.walking import LastPage, Work
from lazymig.stores.given import Store
from lazymig.stores.records import Document
from lazymig.sweeping.failures import Failures
from lazymig.sweeping.options import SweepOptions
from lazymig.sweeping.report import Left


@frozen
class Means:
    """What the work of a sweep is done with, in every layout."""

    options: SweepOptions
    throttle: Throttle
    #: The control collection, with the patience of the pass.
    control: Control
    counts: Counter[str]
    #: Seconds that one call of a client may take; None for no bound.
    timeout_s: float | None


class SweepWork(Work, Protocol):
    """The work of a sweep on one layout, by one process."""

    #: The store whose ids are partitioned.
    store: Store
    #: The filter for what is moved; empty for everything.
    question: Document
    failures: Failures
    #: Whether one document carries both shapes.
    in_place: ClassVar[bool]

    def begin(self) -> None:
        """Begin a run."""

    @property
    def problems(self) -> tuple[str, ...]:
        """What the run found wrong with the migration; each says what to do."""
        return ()

    @property
    def limits(self) -> tuple[str, ...]:
        """What the run did not do, in words."""
        return ()

    @property
    def last_page(self) -> LastPage | None:
        """What says that the next partition may begin; None where they are done one after the other."""
        return None

    async def identify(self) -> Identities | None:
        """Return what identifies the collections now; None where that is unknown."""

    async def count(self) -> int:
        """Count about how many ids the run is about."""

    async def look(self) -> Left:
        """Count what is left, and set the gauges."""

    async def ensure_indexes(self) -> None:
        """Create the indexes that the work needs in the collections."""

    async def adopt(self) -> None:
        """Replace what lazymig has not stored, where the options ask for it."""

    async def tidy(self, goes_on: Callable[[], Awaitable[bool]]) -> bool:
        """Do what is left once all pages are done: marks and dead letters. False: the sweep is to stop before its end.

        `goes_on` is awaited before each step, and may wait.
        """
