"""A chart as SVG that stands in the page: its colours are classes, so that it follows the page's own light and dark."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from attrs import frozen
from markupsafe import Markup, escape

from lazymig.web.view.charts import Chart, Series, Values

#: The size of the drawing, and where its plot stands in it.
_WIDTH, _HEIGHT = 440, 200
_LEFT, _RIGHT, _TOP, _BOTTOM = 72, 12, 12, 26
#: Points of a line at most.
_POINTS = 240
#: What is less than this is nothing.
_LEAST = 1e-6
#: Where a scale may end, in powers of ten, and how many equal steps lead there.
_ENDS = {1: 4, 2: 4, 3: 3, 4: 4, 5: 5, 6: 3, 8: 4, 10: 5}


@frozen
class _Scale:
    """From values to places in the drawing."""

    begin: float
    end: float
    top: float
    steps: int

    def x(self, at: float) -> float:
        span = self.end - self.begin
        part = (at - self.begin) / span if span else 1.0
        return round(_LEFT + part * (_WIDTH - _LEFT - _RIGHT), 1)

    def y(self, value: float) -> float:
        return round(_HEIGHT - _BOTTOM - min(value / self.top, 1.0) * (_HEIGHT - _TOP - _BOTTOM), 1)


def draw(chart: Chart) -> Markup:
    """Return the drawing of a chart. It is named by its title and described by its last values."""
    highest = max((value for line in chart.series for value in line.values if value is not None), default=0.0)
    scale = _Scale(chart.at[0], chart.at[-1], *_find_end(chart.top or highest))
    parts = [
        f'<svg class="chart" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        f'aria-labelledby="chart-{chart.name}-title chart-{chart.name}-last">',
        *_draw_grid(scale, chart.unit),
        *_draw_times(scale),
    ]
    for line in chart.series:
        parts += [f'<path class="line {line.style}" d="{path}"/>' for path in _make_paths(scale, chart.at, line)]
    return Markup("\n".join([*parts, "</svg>"]))


def format_value(value: float, unit: str = "") -> str:
    """Return a value as it stands at a scale or in a legend."""
    digits = 0 if value >= 100 or float(value).is_integer() else 1 if value >= 1 else 3
    return f"{value:,.{digits}f}{unit}"


def _format_tick(value: float, unit: str) -> str:
    for least, size, letter in ((1e9, 1e9, " G"), (1e6, 1e6, " M"), (1e4, 1e3, " k")):
        if value >= least:
            return f"{value / size:,.6g}{letter}{unit}"
    return f"{value:,.6g}{unit}"


def _draw_grid(scale: _Scale, unit: str) -> Iterator[str]:
    for step in range(scale.steps + 1):
        value = scale.top * step / scale.steps
        y = scale.y(value)
        yield f'<line class="grid" x1="{_LEFT}" y1="{y}" x2="{_WIDTH - _RIGHT}" y2="{y}"/>'
        text = escape(_format_tick(value, unit))
        yield f'<text class="tick" x="{_LEFT - 6}" y="{y + 4}" text-anchor="end">{text}</text>'


def _draw_times(scale: _Scale) -> Iterator[str]:
    for at, anchor in ((scale.begin, "start"), (scale.end, "end")):
        text = format_time(at, scale.end - scale.begin)
        yield f'<text class="tick" x="{scale.x(at)}" y="{_HEIGHT - 8}" text-anchor="{anchor}">{text}</text>'
        if scale.begin == scale.end:
            return


def format_time(at: float, span_s: float) -> str:
    """Return a time at a scale: with the day where the scale is longer than one."""
    moment = datetime.fromtimestamp(at, UTC)
    return f"{moment:%m-%d %H:%M}" if span_s > 86_400 else f"{moment:%H:%M:%S}" if span_s < 600 else f"{moment:%H:%M}"


def _make_paths(scale: _Scale, at: Sequence[float], line: Series) -> Iterator[str]:
    """Yield a path for each run of known values: a gap is shown as a gap, unless the line leads over it."""
    steps: list[str] = []
    for moment, value in _thin_out(at, line.values):
        if value is not None:
            steps.append(f"{scale.x(moment)} {scale.y(value)}")
        elif not line.bridged:
            yield from _close(steps)
            steps = []
    yield from _close(steps)


def _thin_out(at: Sequence[float], values: Values) -> Iterator[tuple[float, float | None]]:
    """Yield as many points as one can see: of neighbours the last that is known."""
    every = math.ceil(len(at) / _POINTS)
    for begin in range(0, len(at), every):
        part = slice(begin, begin + every)
        known = [point for point in zip(at[part], values[part], strict=True) if point[1] is not None]
        yield known[-1] if known else (at[begin], None)


def _close(steps: Sequence[str]) -> Iterator[str]:
    if len(steps) == 1:
        yield f"M{steps[0]}h0.1"  # a point: with round ends the line is one
    elif steps:
        yield "M" + "L".join(steps)


def _find_end(value: float) -> tuple[float, int]:
    """Return where a scale ends that holds this value, and its steps: numbers that people read at a glance."""
    if value < _LEAST:
        return 1.0, 1
    power = 10.0 ** math.floor(math.log10(value))
    factor = next(factor for factor in _ENDS if power * factor >= value * (1 - 1e-9))
    return power * factor, _ENDS[factor]
