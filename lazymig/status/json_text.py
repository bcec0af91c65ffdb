"""Objects as JSON, for the command line and the page alike."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime

from lazymig.status.ids import id_text


def as_json(value: Mapping[str, object]) -> str:
    """Return a JSON object on one line, in ASCII; times in ISO 8601 (UTC), ids as their text."""
    # JSON itself would let DEL pass.
    return json.dumps(value, default=_as_text).replace("\x7f", "\\u007f")


def _as_text(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat(timespec="milliseconds") + ("Z" if value.tzinfo is None else "")
    return id_text(value)
