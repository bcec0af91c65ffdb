"""The panel of an action that was ordered by the page and takes a while: who, since when, and how it goes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from attrs import frozen

from lazymig.status.words import describe_moment
from lazymig.web.snapshot import Snapshot


class Seen(Protocol):
    """An action that is under way or has just ended."""

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


@frozen
class ErrandView:
    """The panel's text; without a headline there is nothing to show."""

    headline: str = ""
    lines: tuple[str, ...] = ()
    outcome: str = ""
    state: str = ""


def view_errand(snapshot: Snapshot) -> ErrandView:
    """Return what the panel of the errand shows."""
    errand = snapshot.errand
    if errand is None:
        return ErrandView()
    headline = f"{errand.action}, ordered by {errand.by} at {describe_moment(errand.began_at)}"
    if errand.ended_at is None:
        return ErrandView(headline, tuple(errand.lines), "under way", "busy")
    outcome = f"{errand.outcome} ({describe_moment(errand.ended_at)})"
    return ErrandView(headline, tuple(errand.lines), outcome, "good" if errand.good else "bad")
