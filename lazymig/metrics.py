"""Every metric and span of lazymig: its kind, unit and attributes. The documentation's tables are checked against this.

Besides its own attributes, each has `lazymig.migration`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

from attrs import frozen

#: The phase as a number, from 0 for `v1_only` to 5 for `v2_only`.
PHASE: Final = "lazymig.phase"
#: The number of changes of the recorded phase that this process works by.
EPOCH: Final = "lazymig.fleet.epoch"
#: Seconds until this process's lease is over, after a heartbeat.
LEASE_LEFT: Final = "lazymig.fleet.lease_left"
#: The processes of the fleet.
MEMBERS: Final = "lazymig.fleet.members"
#: The processes of the fleet that have not acknowledged the last change.
BEHIND: Final = "lazymig.fleet.behind"
#: The part of V1's entities that V2 has, from 0 to 1.
SHARE: Final = "lazymig.entities.migrated"
#: About how many entities V2 lacks.
REMAINING: Final = "lazymig.entities.remaining"
#: Entities with an open write.
DIRTY: Final = "lazymig.entities.dirty"
#: Open dead letters.
DEAD_LETTERS: Final = "lazymig.entities.dead_letters"
#: Entities that wait for their users.
WAITING_NOW: Final = "lazymig.entities.waiting"
#: Entities that are not taken over.
LEFT_NOW: Final = "lazymig.entities.left"
#: Entities that do not agree, by verdict.
MISMATCHES: Final = "lazymig.entities.mismatches"
#: How old the oldest mismatch is.
MISMATCH_AGE: Final = "lazymig.entities.mismatch_age"
#: How far the follower is behind.
FOLLOWER_LAG: Final = "lazymig.follower.behind"
#: Documents per second that a process of a pass looks at.
PACE: Final = "lazymig.pass.pace"
#: Whether somebody paused a pass: 0 or 1.
PAUSED: Final = "lazymig.pass.paused"
#: Whether a pass goes slowly by itself: 0 or 1.
THROTTLED: Final = "lazymig.pass.throttled"

#: A batch of a sweep: read, converted and stored.
SWEEP_BATCH: Final = "lazymig.sweep.batch"
#: A range of a verification: compared and recorded.
VERIFY_RANGE: Final = "lazymig.verify.range"
#: A batch of a rewriting pass.
REWRITE_BATCH: Final = "lazymig.rewrite.batch"
#: A batch of a follower: judged, healed and stored.
FOLLOW_BATCH: Final = "lazymig.follow.batch"
#: A step of the fleet from one phase to another.
PHASE_MOVE: Final = "lazymig.phase.move"
#: A heartbeat, which renews a lease.
HEARTBEAT: Final = "lazymig.fleet.heartbeat"

Kind = Literal["counter", "gauge", "histogram"]


@frozen
class Metric:
    """What a metric is, as OpenTelemetry names it."""

    kind: Kind
    unit: str = ""
    #: Besides `lazymig.migration`.
    attributes: tuple[str, ...] = ()


_COUNTERS = (
    "migrated", "waiting", "left", "repaired", "healed", "contended", "refused", "left_dirty", "v2_away", "degraded",
    "mismatched",
    "dark_reads.compared", "dark_reads.matched", "dark_reads.mismatched", "dark_reads.moved", "dark_reads.missing",
    "dark_reads.dropped", "dark_reads.failed", "dark_reads.unreported", "follower.events", "follower.rogue",
    "follower.dead", "follower.catch_ups", "fleet.refused_calls", "fleet.leases_lost", "fleet.epochs",
)  # fmt: skip
_SECONDS, _PASS = "s", ("lazymig.pass",)

METRICS: Mapping[str, Metric] = {
    **{f"lazymig.{name}": Metric("counter") for name in _COUNTERS},
    "lazymig.dark_reads.duration": Metric("histogram", _SECONDS, ("lazymig.side",)),
    "lazymig.follower.lag": Metric("histogram", _SECONDS),
    "lazymig.follower.staleness": Metric("histogram", _SECONDS),
    PHASE: Metric("gauge"),
    EPOCH: Metric("gauge"),
    LEASE_LEFT: Metric("gauge", _SECONDS),
    MEMBERS: Metric("gauge"),
    BEHIND: Metric("gauge"),
    SHARE: Metric("gauge"),
    REMAINING: Metric("gauge"),
    DIRTY: Metric("gauge"),
    DEAD_LETTERS: Metric("gauge"),
    WAITING_NOW: Metric("gauge"),
    LEFT_NOW: Metric("gauge"),
    MISMATCHES: Metric("gauge", attributes=("lazymig.verdict",)),
    MISMATCH_AGE: Metric("gauge", _SECONDS),
    FOLLOWER_LAG: Metric("gauge", _SECONDS),
    PACE: Metric("gauge", attributes=_PASS),
    PAUSED: Metric("gauge", attributes=_PASS),
    THROTTLED: Metric("gauge", attributes=_PASS),
}
SPANS: Mapping[str, tuple[str, ...]] = {
    SWEEP_BATCH: ("lazymig.documents",),
    VERIFY_RANGE: ("lazymig.documents",),
    REWRITE_BATCH: ("lazymig.documents",),
    FOLLOW_BATCH: ("lazymig.documents",),
    PHASE_MOVE: ("lazymig.before", "lazymig.after"),
    HEARTBEAT: (),
}
