"""The templates. Everything that is put into them is escaped."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined

from lazymig.web.paths import Paths
from lazymig.web.snapshot import Snapshot

#: The panels of a page, in their order.
PANELS = ("phases",)


@cache
def environment() -> Environment:
    """Return the templates of this package."""
    return Environment(
        loader=PackageLoader("lazymig.web", "templates"), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip


def render(template: str, **given: object) -> str:
    """Return a template's text."""
    return environment().get_template(template).render(**given)


def render_panels(snapshot: Snapshot, paths: Paths) -> Mapping[str, str]:
    """Return the panels of a snapshot as HTML, by their names."""
    return {name: render(f"panels/{name}.html", snapshot=snapshot, paths=paths) for name in PANELS}
