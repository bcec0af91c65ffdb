"""The steps of V1's end in one layout. `Retirement` chooses the course once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Protocol, TypeAlias

from lazymig.control import Standing
from lazymig.control.retirement import RetirementRecord
from lazymig.phases import Phase
from lazymig.retiring.reduction import ReduceOptions, Reduction
from lazymig.retiring.report import RetirementReport
from lazymig.retiring.watching import Scope

#: Changes what all processes follow, waits until each has acknowledged it, and records what it is, in words.
Announce: TypeAlias = Callable[[Standing, Mapping[str, object], str], Awaitable[Standing]]


class Course(Protocol):
    """What each step does. Each raises `PhaseError` where it may not be done now, or makes no sense in the layout."""

    async def find(self) -> RetirementRecord:
        """Find the record. Raises `PhaseError` and `ConfigurationError` where this release cannot go on from it."""

    def check_watch(self, phase: Phase | None) -> Scope:
        """Return what a watch looks at in this phase."""

    async def report(self, record: RetirementRecord, standing: Standing | None) -> RetirementReport:
        """Look at what would go and what blocks it. Changes nothing."""

    async def quarantine(self, record: RetirementRecord, standing: Standing | None) -> RetirementRecord:
        """Rename V1."""

    async def restore(self, record: RetirementRecord) -> RetirementRecord:
        """Give V1 its name back."""

    async def archive(self, record: RetirementRecord, into: str | Path) -> RetirementRecord:
        """Copy what will go, and compare the copy."""

    async def drop(self, record: RetirementRecord, standing: Standing | None, confirm: str) -> RetirementRecord:
        """Drop V1."""

    def asks_for_name(self, record: RetirementRecord) -> bool:
        """Return whether `reduce` must be confirmed by the migration's name, because nothing leads back."""

    async def reduce(
        self, record: RetirementRecord, standing: Standing | None, options: ReduceOptions, announce: Announce
    ) -> Reduction:
        """Leave the documents what V2 alone needs."""

    async def finish(self, record: RetirementRecord) -> RetirementRecord:
        """Remove what lazymig has left."""
