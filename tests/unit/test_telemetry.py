"""Counters: kept in the process, and given to OpenTelemetry where it is installed."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry import metrics

from lazymig import telemetry
from lazymig.telemetry import MIGRATED, REFUSED, Tally


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
