"""The charts: which lines each has, from the samples; as data for a script that draws them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC

from attrs import frozen

from lazymig.control.samples import Sample

#: The value of a line at each sample; None where it is not known.
Values = tuple[float | None, ...]


@frozen
class Series:
    """A line: what it is, and the name of its colour and its dashes."""

    name: str
    style: str
    values: Values
    #: Whether it was counted now and then only, so that a line leads from one value to the next.
    bridged: bool = False


@frozen
class Chart:
    """Lines over the same times, in seconds since 1970.

    Attributes:
        name: What identifies it on the page.
        title: What it shows.
        unit: What follows each value, such as " %".
        top: The value at the upper end, where it is fixed.
    """

    name: str
    title: str
    unit: str
    at: tuple[float, ...]
    series: tuple[Series, ...]
    top: float | None = None


@frozen
class _Line:
    name: str
    style: str
    read: Callable[[Sample], float | None]
    bridged: bool = False


@frozen
class _Plan:
    name: str
    title: str
    unit: str
    lines: tuple[_Line, ...]
    top: float | None = None
    #: Whether it shows what V2 holds, which may have been estimated.
    counts: bool = False


def _millis(elapsed_s: float | None) -> float | None:
    return None if elapsed_s is None else elapsed_s * 1000


def _percent(part: float | None) -> float | None:
    return None if part is None else part * 100


_PLANS = (
    _Plan("share", "Migrated", " %", (_Line("migrated", "plain", lambda one: one.share * 100),), 100.0, counts=True),
    _Plan(
        "moved", "In V2, by what moved it", "",
        (
            _Line("to move", "frame", lambda one: one.how_far.to_move),
            _Line("by reads", "read", lambda one: one.moved_read, bridged=True),
            _Line("by writes", "write", lambda one: one.moved_write, bridged=True),
            _Line("by sweeps", "sweep", lambda one: one.moved_sweep, bridged=True),
        ),
        counts=True,
    ),
    _Plan("speed", "Documents per second of sweeps", "/s", (_Line("per second", "sweep", lambda one: one.per_s),)),
    _Plan(
        "open", "What is open", "",
        (
            _Line("dirty", "read", lambda one: one.dirty),
            _Line("dead letters", "bad", lambda one: one.dead),
            _Line("mismatches", "write", lambda one: one.mismatches),
            _Line("waiting for users", "frame", lambda one: one.waiting),
        ),
        counts=True,
    ),
    _Plan(
        "latency", "99 of 100 reads answered within", " ms",
        (
            _Line("V1", "write", lambda one: _millis(one.v1_p99_s)),
            _Line("V2", "read", lambda one: _millis(one.v2_p99_s)),
        ),
    ),
    _Plan(
        "agreement", "Dark reads that agree", " %",
        (_Line("agree", "sweep", lambda one: _percent(one.consistency)),), 100.0,
    ),
)  # fmt: skip


def make_charts(samples: Sequence[Sample]) -> tuple[Chart, ...]:
    """Return the charts that these samples can fill; a line that nothing was counted for is left out."""
    at = tuple(map(_seconds, samples))
    charts = []
    for plan in _PLANS:
        lines = [Series(line.name, line.style, tuple(map(line.read, samples)), line.bridged) for line in plan.lines]
        known = tuple(line for line in lines if any(value is not None for value in line.values))
        if known:
            charts.append(Chart(plan.name, _give_title(plan, samples), plan.unit, at, known, plan.top))
    return tuple(charts)


def make_data(samples: Sequence[Sample], since: float | None = None) -> dict[str, object]:
    """Return what the script of the page draws: the times once, and each chart with all its lines.

    `since`: only what came later, in seconds since 1970. The titles are those of all samples.
    """
    wanted = [one for one in samples if since is None or _seconds(one) > since]
    charts = [{**_make_object(plan, wanted), "title": _give_title(plan, samples)} for plan in _PLANS]
    return {"at": [_seconds(one) for one in wanted], "charts": charts}


def find_newest(samples: Sequence[Sample]) -> float:
    """Return the time of the newest sample, in seconds since 1970; 0 where there is none."""
    return _seconds(samples[-1]) if samples else 0.0


def _seconds(sample: Sample) -> float:
    return sample.at.replace(tzinfo=UTC).timestamp()


def _give_title(plan: _Plan, samples: Sequence[Sample]) -> str:
    """Return what a chart shows, and whether that was estimated."""
    if not plan.counts or not any(one.estimated for one in samples):
        return plan.title
    return f"{plan.title} (estimated)" if samples[-1].estimated else f"{plan.title} (in part estimated)"


def _make_object(plan: _Plan, samples: Sequence[Sample]) -> dict[str, object]:
    series = [
        {"name": line.name, "style": line.style, "bridged": line.bridged, "values": list(map(line.read, samples))}
        for line in plan.lines
    ]
    return {"name": plan.name, "unit": plan.unit, "top": plan.top, "series": series}
