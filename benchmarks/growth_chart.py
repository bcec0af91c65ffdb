"""What one operation costs, as two panels of lines: by the number of entities, and by the number of tasks."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import altair as alt
import vl_convert

_COLOURS = {
    "insert": "#b35806",
    "update": "#2166ac",
    "delete": "#6a3d9a",
    "get": "#1b7837",
    "find_one": "#777777",
    "find, driver": "#aaaaaa",
}
_NAMES = {"find_one": "find_one, driver"}
_AXES = {"entities": "entities stored, {crowd} tasks", "tasks": "concurrent tasks, {stored:,} entities"}
_FONT = "Liberation Sans, Arial, Helvetica, sans-serif"
_WIDTH, _HEIGHT = 222, 260
#: Lines of text need this much height, of the whole height.
_LINE = 15 / _HEIGHT


def draw(points: Sequence[Mapping[str, Any]], path: Path, *, crowd: int = 16, stored: int = 100_000) -> None:
    """Write the chart as SVG; the same figures give the same file."""
    path.write_text(vl_convert.vegalite_to_svg(_chart(points, crowd, stored).to_dict()))


def _row(point: Mapping[str, Any]) -> dict[str, Any]:
    times = point["ms"]
    return {
        "operation": point["operation"],
        "at": point["at"],
        "ms": median(times),
        "least": min(times),
        "most": max(times),
    }


def _chart(points: Sequence[Mapping[str, Any]], crowd: int, stored: int) -> Any:
    rows = {axis: [_row(point) for point in points if point["axis"] == axis] for axis in _AXES}
    everything = [row for found in rows.values() for row in found]
    # Whole steps of 1, 2, 5 around all that is drawn.
    low = _step(min(row["least"] for row in everything), up=False)
    high = _step(max(row["most"] for row in everything), up=True)
    panels = [
        _panel(found, _AXES[axis].format(crowd=crowd, stored=stored), (low, high), first=axis == "entities")
        for axis, found in rows.items()
        if found
    ]
    return alt.hconcat(*panels, spacing=12).configure(font=_FONT, background="white").configure_view(stroke=None)


def _step(value: float, *, up: bool) -> float:
    power = 10.0 ** math.floor(math.log10(value))
    steps = [power * factor for factor in (1, 2, 5, 10)]
    return min(step for step in steps if step >= value) if up else max(step for step in steps if step <= value)


def _panel(rows: list[dict[str, Any]], title: str, reach: tuple[float, float], *, first: bool) -> Any:
    names = [name for name in _COLOURS if any(row["operation"] == name for row in rows)]
    places = sorted({row["at"] for row in rows})
    base = alt.Chart(alt.InlineData(values=rows))
    colour = alt.Color(
        "operation:N", scale=alt.Scale(domain=names, range=[_COLOURS[name] for name in names]), legend=None
    )
    x = alt.X(
        "at:Q",
        title=title,
        scale=alt.Scale(type="log", domain=[places[0], places[-1]], nice=False),
        axis=alt.Axis(values=places, format="~s", grid=False, labelFlush=False),
    )
    y = alt.Y(
        "ms:Q",
        title="milliseconds per operation" if first else None,
        scale=alt.Scale(type="log", domain=list(reach), nice=False),
        axis=alt.Axis(values=_ticks(*reach), format="~g", gridColor="#e6e6e6", labels=first, ticks=first, domain=False),
    )
    dash = alt.condition(
        (alt.datum.operation == "find_one") | (alt.datum.operation == "find, driver"),
        alt.value([4, 3]),
        alt.value([1, 0]),
    )
    lines = base.mark_line(strokeWidth=2).encode(x=x, y=y, color=colour, strokeDash=dash)
    dots = base.mark_circle(size=36, opacity=1).encode(x=x, y=y, color=colour)
    ranges = base.mark_rule(opacity=0.35, strokeWidth=2).encode(x=x, y=alt.Y("least:Q"), y2="most:Q", color=colour)
    labels = (
        alt.Chart(alt.InlineData(values=_labels(rows, reach)))
        .mark_text(align="left", dx=8, fontSize=11)
        .encode(x=x, y=alt.Y("height:Q"), text="name:N", color=colour)
    )
    return alt.layer(ranges, lines, dots, labels).properties(width=_WIDTH, height=_HEIGHT)


def _ticks(low: float, high: float) -> list[float]:
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks = [round(10.0**power * factor, 9) for power in powers for factor in (1, 2, 5)]
    return [tick for tick in ticks if low <= tick <= high]


def _labels(rows: Sequence[dict[str, Any]], reach: tuple[float, float]) -> list[dict[str, Any]]:
    """The names at the ends of the lines, moved apart where the lines end too close to each other."""
    last = max(row["at"] for row in rows)
    ends = sorted((row for row in rows if row["at"] == last), key=lambda row: row["ms"])
    span = math.log10(reach[1] / reach[0])
    heights = [math.log10(row["ms"] / reach[0]) / span for row in ends]
    for _ in range(100):
        for lower in range(len(heights) - 1):
            if (lack := _LINE - (heights[lower + 1] - heights[lower])) > 0:
                heights[lower] -= lack / 2
                heights[lower + 1] += lack / 2
    return [
        {
            "operation": row["operation"],
            "name": _NAMES.get(row["operation"], row["operation"]),
            "at": last,
            "height": reach[0] * 10 ** (height * span),
        }
        for height, row in zip(heights, ends, strict=True)
    ]
