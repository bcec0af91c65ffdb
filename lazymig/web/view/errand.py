"""The panel of an action that was ordered by the page and takes a while: who, since when, and how it goes."""

from __future__ import annotations

from attrs import frozen

from lazymig.status.words import describe_moment
from lazymig.web.snapshot import Snapshot


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
