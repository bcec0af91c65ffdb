"""Entities that wait or stay as they are, in documents with both shapes: every pair of calls and of phases."""

from itertools import product

from tests.interleaving.in_place.scenarios import PAIRS, V2_ONLY, V2_PRIMARY
from tests.interleaving.in_place.unmoved import NAMES, OUTSIDE, SOME, STATES, UNSETTLED, UnmovedTask, note_kept
from tests.interleaving.running import explore_all, visited
from tests.widening import WIDENING

FULL = WIDENING.full
LISTED = {"list", "count by V2"}


def tasks(phases):
    """Any call beside any other and beside other programs, from each state; without `--full`, from one by turns."""
    pairs = list(product(NAMES, NAMES + OUTSIDE) if FULL else product(SOME, SOME + OUTSIDE))
    place = PAIRS.index(phases)
    made = []
    for number, (one, other) in enumerate(pairs):
        chosen = STATES if FULL else [list(STATES)[(number * 3 + place) % len(STATES)]]
        settled = V2_PRIMARY not in phases or not LISTED & {one, other}
        made += [
            UnmovedTask(state, ((one,), (other,)), phases=phases)
            for state in chosen
            if settled or (state not in UNSETTLED and other not in OUTSIDE)
        ]
    return made if FULL else made[place % 2 :: 2]


def test_two_doors_in_one_document():
    """With any crash: answers have an order at each door, and what is recorded is what `upgrade` decides."""
    made = [task for phases in PAIRS if V2_ONLY not in phases for task in tasks(phases)]
    _, report = explore_all("waiting and left entities in one document", made)
    assert not report.violations, report.violations[0]
    assert report.exhaustive


def test_what_only_v2_holds_is_kept_while_an_entity_waits():
    """The note outlasts that an entity waits or is left, by lazymig's calls and by other programs' statements."""
    crossing = [
        (["wait", "convert"], ["get", "get"]),
        (["out wait", "out convert"], ["get", "list"]),
        (["out leave", "out convert"], ["get", "V1 update"]),
        (["out wait"], ["get", "get"], ["out convert"]),
    ]
    visited("notes of waiting entities in one document", [note_kept(clients) for clients in crossing])
