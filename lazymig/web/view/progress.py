"""The panel of the progress: how much is migrated, what moved it, how fast, and how long the rest takes."""

from __future__ import annotations

from collections.abc import Iterator

from attrs import frozen

from lazymig.status.looking import Status
from lazymig.status.remaining_time import describe_remaining_time, estimate_remaining_time
from lazymig.status.rows import (
    describe_migrated,
    describe_share,
    holding_rows,
    moved_rows,
    version_rows,
)
from lazymig.web.snapshot import Snapshot
from lazymig.web.view.parts import Facts


@frozen
class Segment:
    """A part of the bar: what it is, how many entities, and where it begins and how wide it is in percent."""

    kind: str
    name: str
    count: str
    begin: float
    width: float


@frozen
class ProgressView:
    """The panel's text."""

    migrated: str
    share: str
    segments: tuple[Segment, ...]
    facts: Facts
    #: How fast, and how long the rest takes or why that is not known; empty where nothing is left.
    outlook: Facts


def view_progress(snapshot: Snapshot) -> ProgressView:
    """Return what the panel of the progress shows."""
    found = snapshot.status
    if found.upcasting_only:
        return ProgressView("", "", (), {"documents": holding_rows(found)["documents"]}, {})
    segments = tuple(_cut(found))
    # What stands at the bar, and the versions, which have a panel of their own.
    elsewhere = {part.name for part in segments} | version_rows(found, "V1 ").keys()
    facts = {name: value for name, value in holding_rows(found).items() if name not in elsewhere}
    return ProgressView(
        describe_migrated(found), describe_share(found), segments, facts,
        _describe_outlook(snapshot),
    )  # fmt: skip


def _cut(found: Status) -> Iterator[Segment]:
    """Cut the bar into what moved the entities, and what remains. All of it together is what there is to move."""
    by, rows = found.moved_by, {**holding_rows(found), **moved_rows(found)}
    counts = {
        "moved by reads": ("read", by.read), "moved by writes": ("write", by.write),
        "moved by sweeps": ("sweep", by.sweep), "moved by unknown": ("unknown", by.unknown),
        "waiting for users": ("waiting", found.v2.waiting), "remaining, about": ("remaining", found.remaining),
    }  # fmt: skip
    whole, begin = max(sum(count for _, count in counts.values()), 1), 0.0
    for name, (kind, count) in counts.items():
        if name in rows:
            width = 100 * count / whole
            yield Segment(kind, name, rows[name], round(begin, 3), round(width, 3))
            begin += width


def _describe_outlook(snapshot: Snapshot) -> Facts:
    """Return how fast sweeps go, and how long the rest takes where that is honest."""
    found = snapshot.status
    if not found.remaining:
        return {}
    per_s = sum(one.per_s for one in found.passes.running if one.kind == "sweep")
    speed = {"sweeps look at": f"{per_s:,.0f} per second"} if per_s else {}
    return {**speed, "remaining time": describe_remaining_time(estimate_remaining_time(found, snapshot.samples))}
