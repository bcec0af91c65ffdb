"""What `lazymig status` shows of the follower."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

import attrs

from lazymig.control import Followed


def count_last_day(found: Followed, now: datetime) -> dict[str, int]:
    """Count the changes of the last 24 hours that were not announced, by operation."""
    return dict(found.count_since(now - timedelta(hours=24)))


def count_this_hour(found: Followed, now: datetime) -> dict[str, int]:
    """Count those since the last full hour."""
    return dict(found.count_since(now))


def follower_object(found: Followed, now: datetime) -> Mapping[str, object]:
    """Return what is recorded of the follower, for a program: counts of the last day and hour instead of all hours."""
    recorded = attrs.asdict(found, filter=attrs.filters.exclude("rogue_by_hour"))
    return {**recorded, "rogue_last_day": count_last_day(found, now), "rogue_last_hour": count_this_hour(found, now)}


def follower_rows(found: Followed, now: datetime) -> dict[str, str]:
    """Return the rows of `lazymig status` about the follower."""
    seen = "no position yet" if found.seen_at is None else f"last seen {found.seen_at:%Y-%m-%d %H:%M:%S} UTC"
    rows: dict[str, str] = {
        # The lag was measured by a run. Where none goes on, it says nothing of now.
        "follower": f"running, {seen}, lag {found.lag_s:.1f} s" if found.running else f"not running, {seen}",
        "not announced, last 24 h": _by_operation(count_last_day(found, now)),
        "not announced, this hour": _by_operation(count_this_hour(found, now)),
    }
    if found.staleness_p50_s is not None and found.staleness_p99_s is not None:
        rows["staleness of heals"] = f"p50 {found.staleness_p50_s:.3f} s, p99 {found.staleness_p99_s:.3f} s"
    if found.catching_up is not None:
        rows["verification is due"] = found.catching_up
    return rows


def _by_operation(counts: dict[str, int]) -> str:
    named = ", ".join(f"{name} {count:,}" for name, count in sorted(counts.items()))
    return f"{sum(counts.values()):,}" + (f" ({named})" if named else "")
