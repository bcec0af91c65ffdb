"""The templates. Everything that is put into them is escaped."""

from __future__ import annotations

from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined

from lazymig.status.words import describe_gate
from lazymig.web.view.text import mark_times, show


@cache
def environment() -> Environment:
    """Return the templates of this package."""
    made = Environment(
        loader=PackageLoader("lazymig.web", "templates"), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True, finalize=show,
    )  # fmt: skip
    made.filters["timed"] = mark_times
    made.filters["state"] = describe_gate
    return made


def render(template: str, **given: object) -> str:
    """Return a template's text."""
    return environment().get_template(template).render(**given)
