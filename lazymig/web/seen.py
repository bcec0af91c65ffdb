"""What the page needs to know of an action that takes a while."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol


class ErrandSeen(Protocol):
    """An action that is under way, or has just ended."""

    @property
    def action(self) -> str:
        """What is done."""

    @property
    def by(self) -> str:
        """Who ordered it."""

    @property
    def began_at(self) -> datetime:
        """When it began."""

    @property
    def lines(self) -> Sequence[str]:
        """What it has reported."""

    @property
    def ended_at(self) -> datetime | None:
        """When it ended; None while it is under way."""

    @property
    def outcome(self) -> str:
        """How it ended, in words."""

    @property
    def good(self) -> bool:
        """Whether it did what was ordered."""
