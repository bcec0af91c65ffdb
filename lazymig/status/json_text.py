"""Objects as JSON, for the command line and the page alike."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from math import isfinite

from lazymig.status.ids import id_text


def as_json(value: Mapping[str, object]) -> str:
    """Return a JSON object on one line, in ASCII; times in ISO 8601 (UTC), ids as their text."""
    try:
        text = json.dumps(value, default=_as_text, allow_nan=False)
    except ValueError:
        text = json.dumps(_without_nan(value), default=_as_text)
    # JSON itself would let DEL pass.
    return text.replace("\x7f", "\\u007f")


def _without_nan(value: object) -> object:
    """Return the value with numbers that JSON does not have as their text; an `_id` can be one."""
    if isinstance(value, float) and not isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        return {name: _without_nan(one) for name, one in value.items()}
    return [_without_nan(one) for one in value] if isinstance(value, list | tuple) else value


def _as_text(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat(timespec="milliseconds") + ("Z" if value.tzinfo is None else "")
    return id_text(value)
