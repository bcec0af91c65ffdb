"""The whole page of one migration as HTML, with its charts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from attrs import frozen
from markupsafe import Markup

from lazymig.control.samples import Sample
from lazymig.status.rows import describe_headline
from lazymig.web.paths import Paths
from lazymig.web.rendering import render
from lazymig.web.snapshot import Snapshot
from lazymig.web.view.charts import Chart, make_charts
from lazymig.web.view.svg import draw, format_value


@frozen
class Legend:
    """A line's name with its last value, and the class of its colour."""

    name: str
    style: str
    value: str


@frozen
class Figure:
    """A chart as it stands in a page."""

    name: str
    title: str
    drawing: Markup
    legend: tuple[Legend, ...]


def make_figures(samples: Sequence[Sample]) -> tuple[Figure, ...]:
    """Return the charts as drawings."""
    return tuple(
        Figure(chart.name, chart.title, draw(chart), tuple(_list_legend(chart))) for chart in make_charts(samples)
    )


def _list_legend(chart: Chart) -> Sequence[Legend]:
    legend = []
    for line in chart.series:
        last = next((value for value in reversed(line.values) if value is not None), 0.0)
        legend.append(Legend(line.name, line.style, format_value(last, chart.unit)))
    return legend


def render_page(snapshot: Snapshot, panels: Mapping[str, str], paths: Paths) -> str:
    """Return the page: the panels as they are now, and where to find what changes."""
    return render(
        "page.html", title=describe_headline(snapshot.status), migration=snapshot.status.migration, paths=paths,
        panels={name: Markup(html) for name, html in panels.items()}, figures=make_figures(snapshot.samples),
    )  # fmt: skip
