"""What `lazymig status` shows of the follower."""

from __future__ import annotations

from datetime import datetime, timedelta

from attrs import frozen

from lazymig.control import Followed


@frozen
class FollowerState:
    """What the follower found lately, and how far it is behind."""

    running: bool
    seen_at: datetime | None
    lag_s: float
    staleness_p50_s: float | None
    staleness_p99_s: float | None
    catching_up: str | None
    catch_ups: int
    #: Changes that were not announced, by operation: over the last 24 hours, and since the last full hour.
    rogue_last_day: dict[str, int]
    rogue_last_hour: dict[str, int]


def describe_follower(found: Followed | None, now: datetime) -> FollowerState | None:
    """Return the state of a follower; None where none ever ran."""
    if found is None:
        return None
    return FollowerState(
        running=found.running,
        seen_at=found.seen_at,
        lag_s=found.lag_s,
        staleness_p50_s=found.staleness_p50_s,
        staleness_p99_s=found.staleness_p99_s,
        catching_up=found.catching_up,
        catch_ups=found.catch_ups,
        rogue_last_day=dict(found.count_since(now - timedelta(hours=24))),
        rogue_last_hour=dict(found.count_since(now)),
    )


def follower_rows(state: FollowerState) -> dict[str, str]:
    """Return the rows of `lazymig status` about the follower."""
    seen = "no position yet" if state.seen_at is None else f"last seen {state.seen_at:%Y-%m-%d %H:%M:%S} UTC"
    rows: dict[str, str] = {
        # The lag was measured by a run. Where none goes on, it says nothing of now.
        "follower": f"running, {seen}, lag {state.lag_s:.1f} s" if state.running else f"not running, {seen}",
        "not announced, last 24 h": _by_operation(state.rogue_last_day),
        "not announced, this hour": _by_operation(state.rogue_last_hour),
    }
    if state.staleness_p50_s is not None and state.staleness_p99_s is not None:
        rows["staleness of heals"] = f"p50 {state.staleness_p50_s:.3f} s, p99 {state.staleness_p99_s:.3f} s"
    if state.catching_up is not None:
        rows["verification is due"] = state.catching_up
    return rows


def _by_operation(counts: dict[str, int]) -> str:
    named = ", ".join(f"{name} {count:,}" for name, count in sorted(counts.items()))
    return f"{sum(counts.values()):,}" + (f" ({named})" if named else "")
