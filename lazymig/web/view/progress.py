"""The panel of the progress: how much is migrated, what moved it, how fast, and how long the rest takes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from attrs import frozen

from lazymig.control.samples import Sample
from lazymig.status.looking import Status
from lazymig.status.rows import describe_headline, describe_migrated, describe_share, holding_rows, moved_rows
from lazymig.web.snapshot import Snapshot
from lazymig.web.view.parts import Facts

#: The remaining time is estimated from what was moved lately: over how long at most, and at least.
_LATELY, _LEAST = timedelta(minutes=5), timedelta(minutes=1)
#: How old the newest sample may be for that.
_FRESH = timedelta(minutes=1)


@frozen
class Segment:
    """A part of the bar: what it is, how many entities, and where it begins and ends in percent."""

    kind: str
    name: str
    count: str
    begin: float
    width: float


@frozen
class ProgressView:
    """The panel's text."""

    headline: str
    migrated: str
    share: str
    segments: tuple[Segment, ...]
    facts: Facts
    #: How fast, and how long the rest takes or why that is not known; empty where nothing is left.
    outlook: str


def view_progress(snapshot: Snapshot) -> ProgressView:
    """Return what the panel of the progress shows."""
    found = snapshot.status
    if found.alone:
        return ProgressView(describe_headline(found), "", "", (), holding_rows(found), "")
    facts = {**holding_rows(found), **moved_rows(found)}
    return ProgressView(
        describe_headline(found), describe_migrated(found), describe_share(found), tuple(_cut(found)), facts,
        _describe_outlook(found, snapshot.samples),
    )  # fmt: skip


def _cut(found: Status) -> Sequence[Segment]:
    """Cut the bar into what moved the entities, and what remains. All of it together is what there is to move."""
    by = found.moved_by
    counts = {
        "read": ("by reads", by.read), "write": ("by writes", by.write), "sweep": ("by sweeps", by.sweep),
        "unknown": ("by unknown", by.unknown), "waiting": ("waiting for users", found.v2.waiting),
        "remaining": ("remaining", found.remaining),
    }  # fmt: skip
    whole, begin, segments = sum(count for _, count in counts.values()), 0.0, []
    for kind, (name, count) in counts.items():
        if count:
            width = 100 * count / whole
            segments.append(Segment(kind, name, f"{count:,}", round(begin, 3), round(width, 3)))
            begin += width
    return segments


def _describe_outlook(found: Status, samples: Sequence[Sample]) -> str:
    """Return how long the rest takes, where that is honest: while a sweep runs, by what was moved lately."""
    sweeps = [one for one in found.passes.running if one.kind == "sweep"]
    if not found.remaining:
        return ""
    if not sweeps:
        return "No sweep is running: what nobody reads or writes stays in V1."
    if all(one.paused for one in sweeps):
        return "The sweep is paused."
    per_s = sum(one.per_s for one in sweeps)
    speed = f"Sweeps look at {per_s:,.0f} entities per second"
    moved = _find_speed(found, samples)
    if moved is None:
        return f"{speed}; the remaining time is not known yet."
    return f"{speed}, and {moved:,.1f} per second were moved lately: {_about(found.remaining / moved)} remaining."


def _find_speed(found: Status, samples: Sequence[Sample]) -> float | None:
    """Return the entities per second that were moved lately; None where too little is known, or nothing moved."""
    recent = [one for one in samples if found.at - _LATELY <= one.at <= found.at]
    if not recent or found.at - recent[-1].at > _FRESH or recent[-1].at - recent[0].at < _LEAST:
        return None
    moved = recent[0].remaining - recent[-1].remaining
    return moved / (recent[-1].at - recent[0].at).total_seconds() if moved > 0 else None


def _about(seconds: float) -> str:
    for unit, length in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"about {seconds / length:,.0f} {unit}"
    return "about a minute" if seconds > 45 else "less than a minute"
