"""The page as one file that can be kept: no script, and nothing that is loaded from elsewhere."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files

from markupsafe import Markup

from lazymig.status.rows import describe_headline
from lazymig.web.rendering import render
from lazymig.web.snapshot import Snapshot
from lazymig.web.view.page import make_figures
from lazymig.web.view.panels import render_panels


def make_report(snapshot: Snapshot) -> str:
    """Return the panels and charts of a page as one HTML file, with its styles and without actions."""
    css = (files("lazymig.web") / "static" / "lazymig.css").read_text("utf-8")
    return render(
        "report.html", title=describe_headline(snapshot.status), css=Markup(css),
        panels={name: Markup(html) for name, html in render_panels(snapshot).items()},
        figures=make_figures(snapshot.samples), version=_find_version(),
    )  # fmt: skip


def _find_version() -> str:
    try:
        return version("lazymig")
    except PackageNotFoundError:
        return "from a folder of sources"
