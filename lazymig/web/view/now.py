"""The line at the top of the page: when all below was looked up, and why it is not newer."""

from __future__ import annotations

from attrs import frozen

from lazymig.status.words import describe_moment
from lazymig.web.snapshot import Snapshot


@frozen
class NowView:
    """The line's text."""

    at: str
    trouble: str


def view_now(snapshot: Snapshot) -> NowView:
    """Return when the snapshot was taken."""
    return NowView(describe_moment(snapshot.status.at), snapshot.trouble)
