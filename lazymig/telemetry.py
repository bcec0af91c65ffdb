"""Counters, gauges, histograms and spans of what lazymig does. `metrics` has the kinds, units and attributes of all.

Counts are kept in the process (`Tally.counts`) and, where `opentelemetry-api` is installed, also given to the
application's meter and tracer as `lazymig.*`. Spans of statements belong to the driver's own instrumentation.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache
from typing import TYPE_CHECKING, Any, Final, Protocol

from lazymig.metrics import METRICS

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer

#: A read found its entity in V1 only and stored it in V2.
MIGRATED: Final = "lazymig.migrated"
#: A read found in V1 only an entity that waits for its user, and recorded that in V2.
WAITING: Final = "lazymig.waiting"
#: A read found in V1 only an entity that is not taken over, and recorded that in V2.
LEFT: Final = "lazymig.left"
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
#: V2 could not take an announcement, and V1 took the write alone; V2 must be verified before it is trusted.
DEGRADED: Final = "lazymig.degraded"
#: A checked read found V2 different from V1.
MISMATCHED: Final = "lazymig.mismatched"
#: A dark read compared both sides at one revision: the sum of the next two.
DARK_COMPARED: Final = "lazymig.dark_reads.compared"
#: A dark read found both sides equal.
DARK_MATCHED: Final = "lazymig.dark_reads.matched"
#: A dark read found twice in a row that both sides are not equal.
DARK_MISMATCHED: Final = "lazymig.dark_reads.mismatched"
#: A dark read never saw both sides at one revision: writes went on, or one was not finished.
DARK_MOVED: Final = "lazymig.dark_reads.moved"
#: A dark read found no body in V2 that may answer: absent, or made by another conversion revision.
DARK_MISSING: Final = "lazymig.dark_reads.missing"
#: A sampled read was not compared, because enough others were.
DARK_DROPPED: Final = "lazymig.dark_reads.dropped"
#: A dark read ended in an error, or took too long. Its caller noticed nothing.
DARK_FAILED: Final = "lazymig.dark_reads.failed"
#: A mismatch could not be written to the log, or the hook for mismatches raised.
DARK_UNREPORTED: Final = "lazymig.dark_reads.unreported"
#: How long the two sides of dark reads took to answer: a histogram in seconds.
DARK_DURATION: Final = "lazymig.dark_reads.duration"
#: The follower saw a change of V1, announced or not.
FOLLOWED: Final = "lazymig.follower.events"
#: The follower saw a change of V1 that was not announced.
ROGUE: Final = "lazymig.follower.rogue"
#: The follower could not heal an entity; it has a dead letter.
UNHEALED: Final = "lazymig.follower.dead"
#: The follower's position was unknown or lost, so that both sides are verified as a whole.
CAUGHT_UP: Final = "lazymig.follower.catch_ups"
#: The age of the oldest change that the follower has not handled, or of the last one: a histogram in seconds.
LAG: Final = "lazymig.follower.lag"
#: The time from a change that was not announced to its durable heal: a histogram in seconds.
STALENESS: Final = "lazymig.follower.staleness"

#: A call was refused, because this process does not know the phase or cannot work in it.
REFUSED_CALLS: Final = "lazymig.fleet.refused_calls"
#: This process was taken out of its fleet, because its lease was over, and joined again.
LEASES_LOST: Final = "lazymig.fleet.leases_lost"
#: This process took over a change of the phase or of what goes with it.
EPOCHS: Final = "lazymig.fleet.epochs"


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


class _Gauge(Protocol):
    def set(self, amount: float, attributes: Mapping[str, str]) -> None: ...


@cache
def _make_gauge(name: str) -> _Gauge | None:
    try:
        from opentelemetry import metrics
    except ImportError:
        return None
    return metrics.get_meter("lazymig").create_gauge(name, unit=METRICS[name].unit)


@cache
def _make_tracer() -> Tracer | None:
    try:
        from opentelemetry import trace
    except ImportError:
        return None
    return trace.get_tracer("lazymig")


@contextmanager
def _spanning(tracer: Tracer, name: str, attributes: Mapping[str, str | int]) -> Iterator[None]:
    from opentelemetry.trace import StatusCode

    # An exception is neither recorded nor described: a driver's may quote a document.
    with tracer.start_as_current_span(
        name, attributes=attributes, record_exception=False, set_status_on_exception=False
    ) as span:
        try:
            yield
        except Exception as error:
            span.set_attribute("error.type", type(error).__qualname__)
            span.set_status(StatusCode.ERROR)
            raise


_NO_SPAN = nullcontext()


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

    def show(self, name: str, value: float, **attributes: str) -> None:
        """Set the application's gauge, where `opentelemetry-api` is installed; never raises.

        Args:
            name: The metric's name.
            value: What it is now.
            **attributes: Further attributes of the measurement; their names get the prefix `lazymig.`.
        """
        gauge = _make_gauge(name)
        if gauge is not None:
            further = {f"lazymig.{key}": text for key, text in attributes.items()}
            gauge.set(value, self._attributes | further)

    def span(self, name: str, **attributes: str | int) -> AbstractContextManager[None]:
        """Return the context of a span by the application's tracer; it does nothing without `opentelemetry-api`.

        Args:
            name: The span's name.
            **attributes: Further attributes of the span; their names get the prefix `lazymig.`.

        Returns:
            A context manager, within which the span is current.
        """
        tracer = _make_tracer()
        if tracer is None:
            return _NO_SPAN
        further = {f"lazymig.{key}": value for key, value in attributes.items()}
        return _spanning(tracer, name, self._attributes | further)
