"""What may come between a read of a document and what it stores there, and two releases side by side."""

from itertools import product

import pytest

from tests.interleaving.in_place import special
from tests.interleaving.in_place.scenarios import COEXIST, SHADOW, V2_ONLY, V2_PRIMARY
from tests.interleaving.running import visited

PHASES = ((SHADOW, COEXIST), (V2_PRIMARY, V2_ONLY), (V2_ONLY, V2_ONLY))
CALLS = ("get", "list", "note", "update", "replace", "V1 update", "V1 replace")


@pytest.mark.parametrize("phases", PHASES, ids=" beside ".join)
def test_a_field_of_another_program_stays(phases):
    """A document with a field of V2's name that lazymig did not store is refused, also where it has just come."""
    sides = [((one,), (other,)) for one, other in product(CALLS, CALLS)][:: 1 if special.FULL else 5]
    visited("a field of another program", [special.foreign_stays(phases, clients) for clients in sides])
    visited("a field of another program comes", [special.foreign_comes(call, (phases[1],) * 2) for call in CALLS])


def test_nothing_passes_from_one_document_to_the_next():
    """What `upgrade` keeps of the previous entity is that of this document, and of none that had its id before."""
    lives = (("out delete", "out insert"), ("out replace",))
    visited("lives of one document", [special.lives_apart(call, life) for call, life in product(CALLS, lives)])


def test_a_document_that_is_put_back_is_another_one():
    """A writer that saw a document before another program put back an earlier one does not win over the next writer."""
    visited("a document is put back", [special.put_back_between()])


def test_what_v2_remembers_is_not_taken_back():
    """A slow reader's conversion is not stored over a later one, though neither changes a revision."""
    visited("slow readers", [special.history_grows()])


def test_an_older_release_leaves_what_a_newer_one_stored():
    """Reads of a release with an older conversion store nothing over what a newer release made."""
    visited("two releases in one document", [special.newer_stays(reads) for reads in (("get", "list"), ("get many",))])
