"""Counters and histograms of what lazymig did, and their names.

They are kept in the process (`Tally.counts`) and, where `opentelemetry-api` is installed, also counted by the
application's meter as `lazymig.*`. Database spans belong to the driver's own instrumentation.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from functools import cache
from typing import Any, Final, Protocol

#: A read found its entity in V1 only and stored it in V2.
MIGRATED: Final = "lazymig.migrated"
#: A read found V2 behind V1 and updated it.
REPAIRED: Final = "lazymig.repaired"
#: The mark of a writer that died was resolved.
HEALED: Final = "lazymig.healed"
#: A compare-and-set on V1 lost to another writer and was tried again.
CONTENDED: Final = "lazymig.contended"
#: V2 will never take a body (unique index, validator, size); V1 holds the write and answers.
REFUSED: Final = "lazymig.refused"
#: A V2 step failed after V1 had the write; V1 answers until the entity is healed.
LEFT_DIRTY: Final = "lazymig.left_dirty"
#: A read could not reach V2 within the time that it waits for it, and V1 answered alone.
V2_AWAY: Final = "lazymig.v2_away"
#: A checked read found V2 different from V1.
MISMATCHED: Final = "lazymig.mismatched"
#: The follower saw a change of V1, announced or not.
FOLLOWED: Final = "lazymig.follower.events"
#: The follower saw a change of V1 that was not announced.
ROGUE: Final = "lazymig.follower.rogue"
#: The follower could not heal an entity; it has a dead letter.
UNHEALED: Final = "lazymig.follower.dead"
#: The follower's position was unknown or lost, so that both sides are verified as a whole.
CAUGHT_UP: Final = "lazymig.follower.catch_ups"
#: The age of the last change that the follower handled: a histogram in seconds.
LAG: Final = "lazymig.follower.lag"
#: The time from a change that was not announced to its durable heal: a histogram in seconds.
STALENESS: Final = "lazymig.follower.staleness"


@cache
def _make_counter(name: str) -> Any:
    try:
        from opentelemetry import metrics
    except ImportError:
        return None
    return metrics.get_meter("lazymig").create_counter(name)


class _Recorder(Protocol):
    def record(self, amount: float, attributes: Mapping[str, str]) -> None: ...


@cache
def _make_histogram(name: str) -> _Recorder | None:
    try:
        from opentelemetry import metrics
    except ImportError:
        return None
    return metrics.get_meter("lazymig").create_histogram(name, unit="s")


class Tally:
    """Counts by metric name for one migration: `counts["lazymig.migrated"]` and so on.

    Args:
        migration: The migration's name, an attribute of each measurement.
    """

    def __init__(self, migration: str) -> None:
        self.counts: Counter[str] = Counter()
        self._attributes = {"lazymig.migration": migration}

    def count(self, name: str, amount: int = 1) -> None:
        """Add to a counter; never raises.

        Args:
            name: The metric's name.
            amount: What to add.
        """
        if amount == 0:
            return
        self.counts[name] += amount
        counter = _make_counter(name)
        if counter is not None:
            counter.add(amount, self._attributes)

    def measure(self, name: str, elapsed_s: float, **attributes: str) -> None:
        """Add a duration to the application's histogram, where `opentelemetry-api` is installed; never raises.

        Args:
            name: The metric's name.
            elapsed_s: The duration in seconds.
            **attributes: Further attributes of the measurement; their names get the prefix `lazymig.`.
        """
        histogram = _make_histogram(name)
        if histogram is not None:
            further = {f"lazymig.{key}": value for key, value in attributes.items()}
            histogram.record(elapsed_s, self._attributes | further)
