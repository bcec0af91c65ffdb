"""The comparison on drawn classes and on the customers: sound data match, and any changed value is found."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import bson
from bson.codec_options import CodecOptions
from hypothesis import HealthCheck, Phase, given, seed, settings

from examples.customers.data import load_documents
from examples.customers.migration import migration as customers
from lazymig import ConfigurationError, ConversionError, Migration
from lazymig.comparing.checks import Checks, Comparison
from lazymig.comparing.comparer import Comparer
from lazymig.shapes.conversions import Conversions, conversions_for
from lazymig.stores.documents import born_clean, parse_v1, parse_v2
from lazymig.stores.verdicts import Verdict
from tests.cases.drawing import Plan, changed, plans
from tests.widening import WIDENING

OPTIONS: CodecOptions[Any] = CodecOptions()


def compared(conversions: Conversions[Any, Any], v1: Any, v2: Any, **checks: Any) -> Comparison:
    """Compare two documents as a server would return them."""
    truth, seen = (bson.decode(bson.encode(side), OPTIONS) for side in (v1, v2))
    return asyncio.run(Comparer(conversions, Checks(**checks)).compare(parse_v1(truth), parse_v2(seen)))


def bound(migration: Migration[Any, Any]) -> Conversions[Any, Any]:
    return conversions_for(migration, v1_aware=False, v2_aware=False)


def documents_of(conversions: Conversions[Any, Any], entity: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """V1's and V2's documents of an entity in V2's type."""
    v1 = asyncio.run(conversions.downgrade(entity, None))
    v2 = born_clean(1, conversions.v2_body(entity, "downgrade"), 0, "sweep")
    return {"_id": 1, **conversions.v1_document(v1)}, v2


def is_found(plan: Plan, met: Counter[str]) -> None:
    """A sound pair of documents matches, and no longer with another value in one field."""
    try:
        conversions = bound(plan.build())
        v1, v2 = documents_of(conversions, plan.first)
    except (ConfigurationError, ConversionError):
        met["refused"] += 1
        return
    found = compared(conversions, v1, v2)
    assert found.verdict is Verdict.MATCH, found
    met["match"] += 1
    other = changed(plan.first, {plan.changed: getattr(plan.second, plan.changed)})
    try:
        damaged = documents_of(conversions, other)[1]
    except ConversionError:
        return
    if bson.encode(damaged) == bson.encode(v2):
        return
    found = compared(conversions, v1, damaged, ordered=True)
    assert found.verdict is Verdict.DIFFERENT, found
    assert {one.path.partition("[")[0].partition(".")[0] for one in found.differences} <= {*conversions.v2.fields, ""}
    met["different"] += 1


def test_drawn_classes_match_and_differ() -> None:
    """Over drawn classes, names and values, a comparison finds every change and nothing else."""
    chosen = 20_240_611 if WIDENING.seed is None else WIDENING.seed
    print(f"seed {chosen}; draw others with --seed")
    met: Counter[str] = Counter()
    options = settings(
        max_examples=600 if WIDENING.wide else 100, deadline=None, database=None,
        suppress_health_check=list(HealthCheck), phases=[Phase.generate, Phase.shrink],
    )  # fmt: skip

    @seed(chosen)
    @options
    @given(plans())
    def hold(plan: Plan) -> None:
        is_found(plan, met)

    hold()
    assert min(met["match"], met["different"]) > 15, met


def test_all_customers_match() -> None:
    """The 500 customers and what their migration makes of them match strictly, their key order included."""
    conversions = bound(customers)
    verdicts: Counter[Verdict] = Counter()
    for document in load_documents():
        truth = parse_v1(document)
        body = conversions.v2_body(asyncio.run(conversions.upgraded(truth, None)))
        found = compared(conversions, document, born_clean(truth.id, body, 0, "sweep"))
        verdicts[found.verdict] += 1
    assert verdicts == {Verdict.MATCH: 500}
