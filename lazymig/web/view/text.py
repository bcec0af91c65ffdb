"""How text gets into HTML: escaped, without characters that a browser would obey, and with times that it knows."""

from __future__ import annotations

import re
from datetime import datetime

from markupsafe import Markup, escape

#: A time as all outputs of lazymig show it.
_MOMENT = re.compile(r"\b(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d)( UTC)?")


def show(value: object) -> object:
    r"""Return what a template puts in for a value: text with an escape for what a browser would obey, such as `\x1b`.

    These are control characters, and characters that change the direction of writing. HTML that was made here stays.
    """
    if isinstance(value, Markup) or not isinstance(value, str) or value.isprintable():
        return value
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in value)


def mark_times(text: object) -> Markup:
    """Return a text as HTML in which each time is a `<time>`, for browsers and screen readers."""
    return Markup(_MOMENT.sub(_mark, str(escape(show(text)))))


def _mark(found: re.Match[str]) -> str:
    try:
        datetime.fromisoformat(f"{found[1]}T{found[2]}")
    except ValueError:
        return found[0]  # no time, but what somebody wrote
    return f'<time datetime="{found[1]}T{found[2]}Z">{found[0]}</time>'
