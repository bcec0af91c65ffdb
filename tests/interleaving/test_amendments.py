"""The protocol's amendments under every interleaving: releases, lives, outsiders, late stores, bodies behind.

`--full` visits more states and pairs; without it, those that differ most.
"""

from itertools import combinations_with_replacement, product

import pytest

from tests.interleaving import later, lives, outsiders, revisions
from tests.interleaving.running import visited
from tests.widening import WIDENING

pytestmark = pytest.mark.usefixtures("short_waits")
FULL = WIDENING.full


def pairs(names, others):
    """Two clients with one call each."""
    return [[[one], [other]] for one, other in product(names, others)]


@pytest.mark.parametrize("keeping", [False, True], ids=["one argument", "two arguments"])
def test_two_releases_side_by_side(keeping):
    """No body of an older conversion answers in the newer release or reaches V1, whatever crosses and dies."""
    newer = ["get", "update", "V1 update", "delete", "insert", "list", "sweep", "reconvert", "heal"]
    older = [name for name in revisions.NAMES if name.startswith("older")]
    states = revisions.STATES if FULL else ("older body", "V1 only", "newer body behind V1")
    some = pairs(newer, older if FULL else older[::2]) + pairs(newer[:3], newer)
    visited("two releases", [revisions.scenario(state, clients, keeping) for state in states for clients in some])


def test_two_releases_and_two_calls_each():
    """The same for a newer client that reads and writes beside an older one that writes and reads."""
    some = [
        [["get", "update"], ["older V1 update", "older get"]],
        [["update", "get"], ["older get", "older V1 update"]],
        [["reconvert", "get"], ["older V1 update", "older sweep"]],
    ]
    visited("two releases, two calls", [revisions.scenario(s, c) for s in ("older body", "V1 only") for c in some])


def test_no_life_inherits_from_another():
    """No V2-only value of a deleted entity reaches a later one with its id, whatever crosses and dies."""
    states = lives.STATES if FULL else ("both clean", "deleted half way", "tombstone", "V1 only", "an insert in doubt")
    some = [[[a], [b]] for a, b in combinations_with_replacement(lives.NAMES, 2)]
    visited("lives", [lives.scenario(state, clients) for state in states for clients in some])


@pytest.mark.parametrize(
    "clients",
    [
        [["delete", "V1 insert"], ["get"]],
        [["delete", "V1 insert"], ["update"]],
        [["delete", "V1 insert"], ["get", "V1 update"]],
        [["insert"], ["delete", "V1 insert"]],
        [["insert"], ["delete"], ["V1 insert"]],
        [["update"], ["delete"], ["V1 insert"]],
        [["V1 insert"], ["V1 insert"], ["get"]],
    ],
    ids=str,
)
@pytest.mark.parametrize("state", ["both clean", "neither"])
def test_a_life_after_a_delete(state, clients):
    """The same for a delete and an insert after it, with a third client beside them, and crashes of all."""
    visited(f"lives from {state}", [lives.scenario(state, clients)])


@pytest.mark.parametrize("outside", ["outside", "outside delete"])
def test_checked_mode_with_outside_writers(outside):
    """In checked mode V1 wins in every read and write, V2 being clean, behind or dirty, whatever crosses and dies."""
    states = outsiders.STATES if FULL else ("both clean", "V2 behind V1", "V2 behind V1, dirty", "V1 only")
    some = [[[name], [outside]] for name in outsiders.NAMES]
    visited("checked", [outsiders.scenario(state, clients) for state in states for clients in some])


def test_checked_mode_with_outside_writers_and_two_calls():
    """A client that reads or writes twice sees an outsider's write from then on."""
    some = [[["get", "get"], ["outside"]], [["update", "get"], ["outside"]], [["get", "list"], ["outside"]]]
    states = ("both clean", "V2 behind V1, dirty")
    visited("checked, two calls", [outsiders.scenario(state, clients) for state in states for clients in some])


@pytest.mark.parametrize("reader", ["get", "get many", "slow sweep"])
def test_a_late_store_is_looked_at_again(reader):
    """A conversion that is stored after V2 has forgotten the delete does not stay, after a read or a sweep."""
    visited("late stores", [later.late_scenario([[reader], ["delete and forget"]])])


@pytest.mark.parametrize("keeping", [False, True], ids=["one argument", "two arguments"])
@pytest.mark.parametrize("state", ["V1 only", "both clean", "neither"])
def test_a_body_behind_its_caller_is_waited_for(state, keeping):
    """A client that writes again finds what it wrote before in V2's own field, whenever the body arrives."""
    writers = (["note", "update", "get"], ["note", "note"], ["note", "get"])
    some = [[[*writer, "bring"], ["bring"]] for writer in writers]
    visited("bodies behind", [later.queued_scenario(state, clients, keeping) for clients in some])
