"""Counters: kept in the process, and given to OpenTelemetry where it is installed."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from random import Random
from typing import Any

import pytest
from opentelemetry import metrics, trace

from lazymig import telemetry
from lazymig.histogram import Histogram
from lazymig.metrics import LEASE_LEFT, MISMATCHES, SWEEP_BATCH
from lazymig.telemetry import DARK_DURATION, MIGRATED, REFUSED, Tally


@pytest.fixture(autouse=True)
def forgotten_counters() -> Iterator[None]:
    """Each test looks its counters up anew."""
    telemetry._make_counter.cache_clear()
    yield
    telemetry._make_counter.cache_clear()


def test_counts_are_kept_by_name() -> None:
    """Zero leaves no trace."""
    tally = Tally("people")
    tally.count(MIGRATED)
    tally.count(MIGRATED, 3)
    tally.count(REFUSED, 0)
    assert tally.counts == {"lazymig.migrated": 4}


def test_counts_reach_the_hosts_meter(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the migration's name as an attribute."""
    added: list[Any] = []

    class Meter:
        def create_counter(self, name: str) -> Any:
            class Counter:
                def add(self, amount: int, attributes: dict[str, str]) -> None:
                    added.append((name, amount, attributes))

            return Counter()

    monkeypatch.setattr(metrics, "get_meter", lambda name: Meter())
    Tally("people").count(MIGRATED, 2)
    assert added == [("lazymig.migrated", 2, {"lazymig.migration": "people"})]


def test_without_opentelemetry_counts_are_kept_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is an extra."""
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    tally = Tally("people")
    tally.count(MIGRATED)
    assert tally.counts == {"lazymig.migrated": 1}


# Histograms


def test_a_histogram_knows_its_quantiles_to_within_five_percent() -> None:
    """Against sorted values, over six decades, in constant memory."""
    random = Random(7)
    for scale in (1e-5, 1e-3, 1.0, 10.0):
        values = sorted(scale * random.lognormvariate(0, 0.7) for _ in range(2000))
        histogram = Histogram()
        for value in values:
            histogram.record(value)
        for share in (0.01, 0.5, 0.9, 0.99, 1.0):
            exact = max(values[math.ceil(share * len(values)) - 1], 1e-5)
            assert histogram.quantile(share) == pytest.approx(exact, rel=0.05)
        assert histogram.count == 2000
        assert histogram.total_s == pytest.approx(sum(values))
        assert sum(histogram.buckets.values()) == 2000
        assert len(histogram._buckets) == len(Histogram()._buckets)


@pytest.mark.parametrize("elapsed_s", [0.0, -1.0, 1e-9, 1e-5, 86_400.0, 1e9])
def test_a_histogram_takes_any_duration(elapsed_s: float) -> None:
    """A clock may stand or differ, and a follower may be away for weeks: the first and the last bucket hold those."""
    histogram = Histogram()
    histogram.record(elapsed_s)
    assert histogram.count == 1
    assert histogram.total_s == max(elapsed_s, 0.0)
    [(upper_s, count)] = histogram.buckets.items()
    assert count == 1
    assert (upper_s == math.inf) is (elapsed_s > 1_000_000)
    assert histogram.quantile(0.5) is not None


def test_a_histogram_is_shown_with_units() -> None:
    """In milliseconds, whose digits mean something."""
    histogram = Histogram()
    histogram.record(0.25)
    assert repr(histogram) == "<Histogram of 1: p50 241.96 ms, p99 241.96 ms>"


def test_an_empty_histogram_has_no_quantiles() -> None:
    """And a share outside of 0 to 1 is refused."""
    assert Histogram().quantile(0.5) is None
    assert Histogram().buckets == {}
    assert repr(Histogram()) == "<Histogram of 0: p50 unknown, p99 unknown>"
    for share in (-0.1, 1.1, math.nan):
        with pytest.raises(ValueError, match="from 0 to 1"):
            Histogram().quantile(share)


def test_durations_reach_the_hosts_meter(monkeypatch: pytest.MonkeyPatch) -> None:
    """In seconds, with the migration's name and the given attributes."""
    recorded: list[Any] = []

    class Meter:
        def create_histogram(self, name: str, unit: str) -> Any:
            class Recorder:
                def record(self, amount: float, attributes: dict[str, str]) -> None:
                    recorded.append((name, unit, amount, attributes))

            return Recorder()

    telemetry._make_histogram.cache_clear()
    monkeypatch.setattr(metrics, "get_meter", lambda name: Meter())
    Tally("people").measure(DARK_DURATION, 0.5, side="control")
    telemetry._make_histogram.cache_clear()
    attributes = {"lazymig.migration": "people", "lazymig.side": "control"}
    assert recorded == [("lazymig.dark_reads.duration", "s", 0.5, attributes)]


def test_without_opentelemetry_durations_are_not_measured_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is an extra."""
    telemetry._make_histogram.cache_clear()
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    Tally("people").measure(DARK_DURATION, 0.5)
    telemetry._make_histogram.cache_clear()


# Gauges and spans


@pytest.fixture
def forgotten() -> Iterator[None]:
    """Gauges and the tracer are looked up anew."""
    for made in (telemetry._make_gauge, telemetry._make_tracer):
        made.cache_clear()
    yield
    for made in (telemetry._make_gauge, telemetry._make_tracer):
        made.cache_clear()


def test_gauges_reach_the_hosts_meter(monkeypatch: pytest.MonkeyPatch, forgotten: None) -> None:
    """With their unit, the migration's name, and further attributes by their full names."""
    shown: list[Any] = []

    class Meter:
        def create_gauge(self, name: str, unit: str) -> Any:
            class Gauge:
                def set(self, amount: float, attributes: dict[str, str]) -> None:
                    shown.append((name, unit, amount, attributes))

            return Gauge()

    monkeypatch.setattr(metrics, "get_meter", lambda name: Meter())
    Tally("people").show(MISMATCHES, 3, verdict="stale")
    Tally("people").show(LEASE_LEFT, 1.5)
    assert shown == [
        (MISMATCHES, "", 3, {"lazymig.migration": "people", "lazymig.verdict": "stale"}),
        (LEASE_LEFT, "s", 1.5, {"lazymig.migration": "people"}),
    ]


class Spans:
    """A tracer that keeps what it is asked for."""

    def __init__(self) -> None:
        self.seen: list[Any] = []

    @contextmanager
    def start_as_current_span(self, name: str, **options: Any) -> Iterator[Any]:
        span: dict[str, Any] = {"name": name, **options, "ended": False}
        self.seen.append(span)
        given = span["attributes"] = dict(span["attributes"])

        class Span:
            def set_attribute(self, key: str, value: Any) -> None:
                given[key] = value

            def set_status(self, status: Any) -> None:
                span["status"] = status

        yield Span()
        span["ended"] = True


def test_a_span_of_an_error_quotes_nothing(monkeypatch: pytest.MonkeyPatch, forgotten: None) -> None:
    """It has the class of the exception, and neither its text nor its traceback; the exception passes through."""
    spans = Spans()
    monkeypatch.setattr(trace, "get_tracer", lambda name: spans)
    tally = Tally("people")
    with tally.span(SWEEP_BATCH, documents=3):
        pass
    with pytest.raises(ValueError, match="Confidential"), tally.span(SWEEP_BATCH, documents=4):
        raise ValueError("Confidential")
    good, bad = spans.seen
    assert (good["name"], good["ended"], good["attributes"]) == (
        SWEEP_BATCH, True, {"lazymig.migration": "people", "lazymig.documents": 3},
    )  # fmt: skip
    assert bad["attributes"]["error.type"] == "ValueError"
    assert bad["status"] is trace.StatusCode.ERROR
    assert "Confidential" not in repr(bad)
    assert (bad["record_exception"], bad["set_status_on_exception"]) == (False, False)


def test_without_opentelemetry_gauges_and_spans_do_nothing(monkeypatch: pytest.MonkeyPatch, forgotten: None) -> None:
    """One context serves all spans then, so that none costs anything."""
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    tally = Tally("people")
    tally.show(LEASE_LEFT, 1.0)
    assert tally.span(SWEEP_BATCH) is tally.span(SWEEP_BATCH, documents=1)
    with tally.span(SWEEP_BATCH):
        pass
