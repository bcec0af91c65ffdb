"""The gauges that `lazymig status` sets from what it has looked up, for an application that exports metrics."""

from __future__ import annotations

from lazymig.measuring.holdings import show_holdings
from lazymig.metrics import (
    BEHIND,
    DEAD_LETTERS,
    EPOCH,
    FOLLOWER_LAG,
    MEMBERS,
    MISMATCH_AGE,
    MISMATCHES,
    PHASE,
)
from lazymig.phases import Phase
from lazymig.status.looking import Status
from lazymig.telemetry import Tally
from lazymig.verifying.report import COUNTED


def show_gauges(tally: Tally, found: Status) -> None:
    """Set every gauge that this status knows."""
    tally.show(PHASE, list(Phase).index(Phase(found.phase)))
    tally.show(DEAD_LETTERS, found.dead_letters)
    if not found.upcasting_only:
        show_holdings(tally, found.v1, found.v2)
    mismatches, oldest = found.verified.mismatches, found.verified.oldest
    for verdict in COUNTED:
        tally.show(MISMATCHES, mismatches.get(verdict, 0), verdict=verdict)
    tally.show(MISMATCH_AGE, 0.0 if oldest is None else max((found.at - oldest).total_seconds(), 0.0))
    if found.follower is not None and found.follower.running:
        tally.show(FOLLOWER_LAG, found.follower.lag_s)
    if found.fleet.standing is not None:
        tally.show(EPOCH, found.fleet.standing.epoch)
        tally.show(MEMBERS, len(found.fleet.members))
        tally.show(BEHIND, len(found.fleet.behind))
