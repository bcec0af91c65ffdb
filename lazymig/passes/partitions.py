"""Cutting V1 into ranges of ids with about the same number of documents, which any process can work on."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby, pairwise
from math import ceil
from typing import Any

from lazymig.passes.shedding import as_patient_as
from lazymig.stores.counts import Counts
from lazymig.stores.given import Store
from lazymig.stores.keyset import bracket_of
from lazymig.stores.records import Partition
from lazymig.stores.scans import Scan

#: About how many documents a partition holds: few enough to share and take over, enough to be worth a lease.
DOCUMENTS_EACH = 50_000
_PARTITIONS_MAX = 1000
#: A small collection gets this many partitions, so that several processes can share it, and each at least this size.
_SHARED, _WORTH_SHARING = 16, 2_000
#: Sampled ids per boundary. More make the partitions more even.
_SAMPLES_EACH = 20


async def plan_partitions(
    store: Store, documents_each: int = DOCUMENTS_EACH, *, beside: Store | None = None
) -> list[Partition]:
    """Plan partitions that cover every id of a store's collection, each with about `documents_each` documents.

    Ids may be of any BSON types. An empty collection has no partitions. Documents that are inserted later need none:
    their inserts store them in V2 as well. With `beside`, the partitions also cover the ids of that store, and are cut
    by the ids of the larger one.
    """
    stores = _list_stores(store, beside)
    scans = [as_patient_as(one, Scan(one)) for one in stores]
    counts = await _count_each(stores)
    wanted = _count_wanted(max(counts), documents_each)
    bounds = await _find_bounds(scans[counts.index(max(counts))], wanted) if wanted > 1 else []
    partitions: list[Partition] = []
    for bracket in scans[0].brackets():
        # A bracket without documents needs no partition.
        if any([await scan.has_bracket(bracket) for scan in scans]):
            partitions += _cut(bracket, [bound for bound in bounds if bracket_of(bound) == bracket])
    return partitions


async def estimate_partitions(
    store: Store, documents_each: int = DOCUMENTS_EACH, *, beside: Store | None = None
) -> int:
    """Estimate how many partitions a plan would have, by the number of documents. Ids of several types may add some."""
    return _count_wanted(max(await _count_each(_list_stores(store, beside))), documents_each)


def _list_stores(store: Store, beside: Store | None) -> list[Store]:
    return [store] if beside is None else [store, beside]


async def _count_each(stores: Sequence[Store]) -> list[int]:
    return [await as_patient_as(one, Counts(one)).count_all() for one in stores]


def _count_wanted(documents: int, documents_each: int) -> int:
    return min(max(ceil(documents / documents_each), min(_SHARED, documents // _WORTH_SHARING)), _PARTITIONS_MAX)


async def _find_bounds(scan: Scan, wanted: int) -> list[Any]:
    ids = await scan.sample_ids(wanted * _SAMPLES_EACH)
    return [first for first, _ in groupby(ids[_SAMPLES_EACH::_SAMPLES_EACH])]


def _cut(bracket: str, bounds: Sequence[Any]) -> list[Partition]:
    edges = [None, *bounds, None]
    return [Partition(bracket, low, high) for low, high in pairwise(edges)]
