"""The whole page of one migration as HTML, and pages that say that something is not there or failed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from attrs import frozen
from markupsafe import Markup

from lazymig.control.samples import Sample
from lazymig.status.rows import describe_headline
from lazymig.web.rendering import render
from lazymig.web.snapshot import Snapshot
from lazymig.web.view.charts import Chart, make_charts
from lazymig.web.view.panels import Links
from lazymig.web.view.svg import draw, format_value


class PageLinks(Links, Protocol):
    """Where the parts of a page are."""

    @property
    def index(self) -> str:
        """The list of migrations."""

    @property
    def events(self) -> str:
        """The stream of what changes."""

    @property
    def samples(self) -> str:
        """What the charts draw."""

    @property
    def status(self) -> str:
        """The object of `lazymig status --json`."""

    @property
    def report(self) -> str:
        """The page as one file."""

    def static(self, file: str, /) -> str:
        """Return where a file of this package is."""


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


def render_page(snapshot: Snapshot, panels: Mapping[str, str], links: PageLinks) -> str:
    """Return the page: the panels as they are now, and where to find what changes."""
    return render(
        "page.html", title=describe_headline(snapshot.status), migration=snapshot.status.migration, links=links,
        panels={name: Markup(html) for name, html in panels.items()}, figures=make_figures(snapshot.samples),
    )  # fmt: skip


def render_error(title: str, what: str, *, style: str, index: str) -> str:
    """Return a page that says what failed, and what to do.

    Args:
        title: What happened, in a few words.
        what: What to do about it.
        style: Where the style sheet is.
        index: Where the list of migrations is.
    """
    return render("error.html", title=title, what=what, style=style, index=index)


def render_index(migrations: Mapping[str, str], *, style: str) -> str:
    """Return the list of migrations: their names, with the paths of their pages."""
    return render("index.html", title="Migrations", migrations=migrations, style=style)
