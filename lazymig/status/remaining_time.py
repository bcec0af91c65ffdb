"""How long the rest of a migration takes: said only while a sweep runs, and where what was moved lately was steady."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Final

from attrs import frozen

from lazymig.control import Running, Sample
from lazymig.status.looking import Status

#: What was moved lately: over how long at most and at least, and in how many samples.
_LATELY: Final = timedelta(minutes=5)
_LEAST: Final = timedelta(minutes=1)
_SAMPLES: Final = 6
#: How old the newest sample may be.
_FRESH: Final = timedelta(seconds=30)
#: Steady: in each of so many parts of that time, the pace is between these shares of the whole pace.
_PARTS: Final = 3
_SLOWEST, _FASTEST = 0.6, 1.5


@frozen
class RemainingTime:
    """How long the rest takes, if that can be said.

    Attributes:
        seconds: About how many seconds; None where that would be a guess.
        per_s: Entities per second that were moved lately, on which it rests.
        why: Why it is not known; empty where it is.
    """

    seconds: float | None = None
    per_s: float | None = None
    why: str = ""


def estimate_remaining_time(found: Status, samples: Sequence[Sample]) -> RemainingTime:
    """Return how long the rest takes, by what was looked up and the samples, oldest first."""
    sweeps = [one for one in found.passes.running if one.kind == "sweep"]
    # No sweep moves an entity that has a dead letter. Some of those are in V2 already, so the time is a little short.
    left = 0 if found.upcasting_only else max(found.remaining - found.dead_letters, 0)
    return estimate(left, sweeps, samples, found.at)


def estimate(left: int, sweeps: Sequence[Running], samples: Sequence[Sample], now: datetime) -> RemainingTime:
    """Return how long it takes to move so many entities, by these running sweeps."""
    if not left:
        return RemainingTime(why="nothing is left that a sweep can move")
    if not sweeps:
        return RemainingTime(why="no sweep is running")
    if all(one.paused for one in sweeps):
        return RemainingTime(why="the sweep is paused")
    began = max(now - _LATELY, min(one.since for one in sweeps))
    recent = [one for one in samples if began <= one.at <= now]
    if len(recent) < _SAMPLES or recent[-1].at - recent[0].at < _LEAST:
        return RemainingTime(why="the sweep has not run for long enough")
    if now - recent[-1].at > _FRESH:
        return RemainingTime(why="the last sample is too old")
    pace = _measure_pace(recent[0], recent[-1])
    if pace <= 0:
        return RemainingTime(why="nothing was moved lately, or more came in")
    parts = [_measure_pace(one, other) for one, other in _cut(recent)]
    if not all(_SLOWEST * pace <= part <= _FASTEST * pace for part in parts):
        return RemainingTime(why="the pace is not steady")
    return RemainingTime(left / pace, pace)


def _cut(recent: Sequence[Sample]) -> list[tuple[Sample, Sample]]:
    """Return the first and last samples of parts of about the same length."""
    first, last = recent[0].at, recent[-1].at
    marks = [first + (last - first) * part / _PARTS for part in range(_PARTS + 1)]
    nearest = [min(recent, key=lambda one: abs(one.at - mark)) for mark in marks]
    return list(pairwise(nearest))


def _measure_pace(one: Sample, other: Sample) -> float:
    """Return by how many entities per second there were fewer to move; 0 where no time passed."""
    elapsed_s = (other.at - one.at).total_seconds()
    return (one.remaining - other.remaining) / elapsed_s if elapsed_s > 0 else 0.0


def describe_remaining_time(found: RemainingTime) -> str:
    """Return it in words, in one unit, or why it is not known."""
    if found.seconds is None or found.per_s is None:
        return f"not known: {found.why}"
    for unit, length in (("d", 86_400), ("h", 3600), ("min", 60)):
        if found.seconds >= 2 * length:
            return f"about {found.seconds / length:,.0f} {unit}, at {found.per_s:,.0f} per second"
    return f"{'about two minutes' if found.seconds > 90 else 'a minute or less'}, at {found.per_s:,.0f} per second"
