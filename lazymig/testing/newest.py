"""Random entities of a migration whose V1 documents have versions."""

from __future__ import annotations

from copy import copy
from typing import TypeVar

from lazymig.shapes.conversions import conversions_for
from lazymig.shapes.migration import Migration
from lazymig.shapes.stored_names import written_names
from lazymig.testing.extras import SearchStrategy

E = TypeVar("E")
V1 = TypeVar("V1")
V2 = TypeVar("V2")


def of_newest(migration: Migration[V1, V2], strategy: SearchStrategy[E]) -> SearchStrategy[E]:
    """Return the strategy for entities of V1's class that state the newest version, where it declares it."""
    chain = migration.upcasters
    if chain is None:
        return strategy
    codec = conversions_for(migration, v1_aware=False, v2_aware=False).v1
    written = written_names(codec.fast, migration.v1) or {}
    declared = [name for name, stored in written.items() if stored == chain.field]

    def state(entity: E) -> E:
        stated = copy(entity)
        for name in declared:
            object.__setattr__(stated, name, chain.newest)  # the class may be frozen
        return stated

    return strategy.map(state) if declared else strategy
