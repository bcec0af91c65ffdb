"""Each guard of documents with both shapes bites: without it, the explorer finds what breaks."""

import pytest

from tests.interleaving.in_place.mutants import MUTANTS
from tests.interleaving.running import check_killed, check_shown


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_mutant_of_one_document_is_killed(mutant, monkeypatch):
    """The scenario is sound as the guards stand, and has a counter-example once one of them is taken away."""
    check_killed(mutant, monkeypatch)
    if mutant.visible:
        check_shown(mutant)
