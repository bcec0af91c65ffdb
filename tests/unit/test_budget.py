"""`benchmarks.conversions` compares two ways of the same: what it times on either side has one result."""

from __future__ import annotations

from typing import Any

import bson
import pytest

from benchmarks import invoices
from benchmarks.conversions import Subject
from benchmarks.subject import MIGRATION, document, orders, ship

ORDERS = Subject("order", MIGRATION, [bson.encode(document(one)) for one in orders(3, seed=1)], ship)
INVOICES = Subject(
    "invoice", invoices.MIGRATION, [bson.encode(one) for one in invoices.documents(3, seed=1)], lambda invoice: invoice
)


@pytest.mark.parametrize("subject", [ORDERS, INVOICES], ids=lambda subject: str(subject.name))
def test_both_ways_have_one_result(subject: Any) -> None:
    """Each step makes the same entity, document or bytes, and some steps have two ways at all."""
    steps = subject.steps()
    compared = 0
    for long, short in steps.values():
        for number in range(3):
            made = short(number)
            assert made is not None
            if long is not None:
                assert long(number) == made
                compared += 1
    assert compared >= 6 * 3
