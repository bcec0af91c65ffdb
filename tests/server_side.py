"""What the tests of server-side sweeps share: the sweeper's migration without V2's own values, and its aggregation."""

from __future__ import annotations

from typing import Any

from lazymig import Migration
from tests.sweeps import ThingV1, ThingV2, renamed, things

#: What `upgrade_fresh` does, by the server: a negative number does not convert.
PIPELINE: list[dict[str, Any]] = [
    {"$match": {"n": {"$gte": 0}}},
    {"$replaceWith": {"count": "$n", "code": {"$ifNull": ["$code", None]}, "note": {"$literal": None}}},
]


def upgrade_fresh(v1: ThingV1) -> ThingV2:
    """V1 to V2, without V2's previous entity."""
    return renamed(v1)


def server_things(*stages: Any, **changed: Any) -> Migration[ThingV1, ThingV2]:
    """The migration with its aggregation, and further stages behind it."""
    return things(**{"upgrade": upgrade_fresh, "upgrade_pipeline": [*PIPELINE, *stages]} | changed)
