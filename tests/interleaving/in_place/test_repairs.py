"""Repairs of documents with both shapes under every interleaving, beside clients and programs without lazymig."""

import pytest

from tests.interleaving.in_place.people import LAYOUTS
from tests.interleaving.in_place.repairs import MUTANTS, beside
from tests.interleaving.running import check_killed, visited
from tests.widening import WIDENING

CALLS = ("get", "update", "note", "delete", "V1 update", "out name", "out tally", "out delete", "out replace")
IN_A_ROW = (("get", "update"), ("out tally", "get"), ("update", "out tally"), ("delete", "insert"))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_repair_beside_calls_and_other_programs(layout):
    """Afterwards both parts agree, and nothing that began from the wrong part came after the repair."""
    some = [*((one,) for one in CALLS), *(IN_A_ROW if WIDENING.full else IN_A_ROW[:2])]
    visited("repairs in one document", [beside(list(names), layout) for names in some])


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_mutant_of_a_repair_is_killed(mutant, monkeypatch):
    """The scenario is sound as the guards stand, and has a counter-example once one of them is taken away."""
    check_killed(mutant, monkeypatch)
