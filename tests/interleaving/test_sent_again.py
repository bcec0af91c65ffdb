"""Announcements and bodies go without the driver's retry: done twice, or late, they harm nobody."""

from itertools import combinations_with_replacement, product

import pytest

from tests.interleaving.running import check_killed, visited
from tests.interleaving.sent_again import MUTANTS, again_scenario, noted_again
from tests.interleaving.subject import noted_scenario
from tests.widening import WIDENING

FULL = WIDENING.full
SOME_STATES = ("V1 only", "both clean", "dirty before V1's step", "tombstone")
SOME_CALLS = ("get", "insert", "update", "delete", "failed update", "heal")


def test_every_pair_of_calls_sent_again():
    """Any two calls whose announcements and bodies are all done twice, with any crash: linearizable and coherent."""
    states, names = (
        (SOME_STATES, SOME_CALLS) if FULL else (("both clean", "tombstone"), ("get", "insert", "update", "delete"))
    )
    visited(
        "pairs sent again",
        [
            again_scenario(state, [[first], [second]])
            for state, (first, second) in product(states, combinations_with_replacement(names, 2))
        ],
    )


def test_bodies_that_come_late():
    """A body of a call comes once more, at any moment, also when another call has written the entity since."""
    states, names = (SOME_STATES, SOME_CALLS) if FULL else (("both clean",), ("get", "update", "delete"))
    visited(
        "bodies that come late",
        [
            again_scenario(state, [[first], [second, "late"]], crashes=False)
            for state, first, second in product(states, ("update", "delete", "insert"), names)
        ],
    )


def test_notes_that_are_sent_again():
    """What V1 cannot express is kept, and what a later write made of it, when a body is sent again."""
    visited(
        "notes sent again",
        [noted_again(noted_scenario, state, [["note"], ["get"]]) for state in ("both clean", "neither")],
    )


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_mutant_of_what_is_sent_again_is_killed(mutant, monkeypatch):
    """The scenario is sound as it stands, and has a counter-example once the guard is taken away."""
    check_killed(mutant, monkeypatch)
