"""Repairs by the follower and the verifier under every interleaving, beside clients and outside writers."""

from itertools import product

import pytest

from tests.interleaving import repairs
from tests.interleaving.running import visited
from tests.interleaving.subject import NAMES
from tests.widening import WIDENING

pytestmark = pytest.mark.usefixtures("short_waits")
FULL = WIDENING.full
SOME = (
    "both clean",
    "V1 only",
    "neither",
    "placeholder behind V1",
    "dirty after V1's step",
    "V2 wrong at V1's revision",
    "orphan",
)
STATES = tuple(repairs.STATES) if FULL else SOME
CALLS = NAMES if FULL else ("get", "get many", "insert", "update", "delete", "list", "sweep", "heal", "V1 update")
OTHERS = tuple(repairs.OUTSIDE)


def by_turns(outside):
    """Every call beside the outside write and its repair; without `--full`, from every second state by turns."""
    place = OTHERS.index(outside)
    return [
        (state, [[outside, "repair"], [name]])
        for (number, state), (other, name) in product(enumerate(STATES), enumerate(CALLS))
        if FULL or (number + other + place) % 2 == 0
    ]


@pytest.mark.parametrize("outside", repairs.OUTSIDE)
def test_repaired_after_an_outside_write(outside):
    """Both sides agree once the repair that follows an outside write is over, no matter which client crossed them."""
    visited("repairs", [repairs.scenario(state, clients) for state, clients in by_turns(outside)])


@pytest.mark.parametrize("outside", repairs.OUTSIDE)
def test_repaired_after_a_crash(outside):
    """Whoever dies, the follower included, both sides agree once the event is handled again."""
    visited("repairs", [repairs.scenario(state, clients, crashes=True) for state, clients in by_turns(outside)])


@pytest.mark.parametrize("outside", repairs.OUTSIDE)
def test_two_repairs_at_once(outside):
    """A verifier that repairs beside the follower, and two outside writes in a row, leave both sides equal."""
    others = OTHERS if FULL else ("outside rename", "outside delete")
    some = [
        [[outside, "repair"], ["repair"]],
        *([[outside, "repair"], [other, "repair"]] for other in others),
        *([[outside, other, "repair"], ["update" if other in others[:1] else "get"]] for other in others),
    ]
    visited("two repairs", [repairs.scenario(state, clients) for state in STATES for clients in some])


def test_repairs_beside_two_clients():
    """The same beside two clients of which one writes and one reads."""
    states = STATES if FULL else ("V1 only",)
    some = [
        [[outside, "repair"], [writer], ["get"]]
        for outside in (OTHERS if FULL else ("outside delete",))
        for writer in (("update", "delete", "insert") if FULL else ("update",))
    ]
    visited("three clients", [repairs.scenario(state, clients) for state in states for clients in some])


def test_a_repair_of_what_is_right_changes_nothing_that_clients_see():
    """Without outside writes, a repair is one more call that every history can contain."""
    some = [[["repair"], [name]] for name in CALLS]
    states = [state for state in STATES if state in repairs.SOUND]
    visited("repairs alone", [repairs.judged(state, clients) for state in states for clients in some])
