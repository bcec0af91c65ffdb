"""Entities that wait and entities that stay in V1, under every interleaving, with every crash.

`--full` visits all states, calls and pairs of phases; without it, those that differ most.
"""

from itertools import combinations_with_replacement, product

import pytest

from tests.interleaving import outcomes
from tests.interleaving.mutants_of_outcomes import MUTANTS
from tests.interleaving.outcomes import COEXIST, PAIRS, SHADOW, SWEEPS, V2_PRIMARY, alone, noted_scenario
from tests.interleaving.running import check_killed, check_shown, visited
from tests.widening import WIDENING

FULL = WIDENING.full
#: What makes an entity wait or stay, and what ends that.
TURNS = ("leave", "wait", "convert", "supply", "replace", "V1 delete")
OTHERS = outcomes.NAMES if FULL else ("get", "list", "update", "sweep", "wait", "supply")


def pairs(turns=TURNS):
    """Any turn beside any call."""
    return [[[turn], [other]] for turn, other in product(turns, OTHERS)]


@pytest.mark.parametrize("state", outcomes.STATES if FULL else ("waiting", "left after V1's step", "left, V1 only"))
def test_both_doors_agree(state):
    """V1's door knows every entity; V2's door none that is left, and that a waiting one waits, whatever crosses."""
    visited(f"outcomes from {state}", [outcomes.scenario(state, clients) for clients in pairs()])


def test_two_turns_beside_a_reader():
    """An entity may change its mind with each write; two answers in a row never go back to the mind before."""
    turns = [["leave", "convert"], ["wait", "supply"], ["supply", "leave"], ["V1 delete", "insert waiting"]]
    some = [[turn, reads] for turn in turns for reads in (["get", "get"], ["list", "get"])]
    states = outcomes.STATES if FULL else ("waiting",)
    visited("two turns", [outcomes.scenario(state, clients) for state in states for clients in some])


@pytest.mark.parametrize("phases", PAIRS, ids=" beside ".join)
def test_two_phases_agree(phases):
    """Processes of two adjacent phases see the same of both doors, and the same is left when all is over."""
    states = outcomes.COMPLETE if V2_PRIMARY in phases else outcomes.STATES
    states = tuple(states) if FULL else ("waiting", "left, announced")
    some = (
        pairs()
        if FULL
        else [[["wait"], ["get"]], [["update"], ["leave"]], [["supply"], ["list"]], [["sweep"], ["convert"]]]
    )
    able = [clients for clients in some if all(map(is_able, (name for (name,) in clients), phases))]
    assert able
    crashes = (True, False) if V2_PRIMARY in phases else (True,)
    made = [
        outcomes.side_by_side(phases, state, clients, crashes=crash)
        for state, clients, crash in product(states, able, crashes)
    ]
    visited(f"outcomes, {' beside '.join(phases)}", made)


def is_able(name, phase):
    """Whether a process of this phase makes the call."""
    return name not in SWEEPS or phase in (SHADOW, COEXIST, V2_PRIMARY)


def test_v2_alone_knows_bodies_only():
    """In `v2_only`, what has no body does not exist: an insert takes its place, and V1 is not asked."""
    names = ("get", "insert", "update", "delete", "V1 update", "V1 insert") if FULL else ("get", "insert", "V1 update")
    some = [[[a], [b]] for a, b in combinations_with_replacement(names, 2)]
    visited("outcomes in v2_only", [alone(state, clients) for state in outcomes.ALONE for clients in some])


@pytest.mark.parametrize(
    "clients",
    [
        [["wait", "convert"], ["get"]],
        [["leave", "convert"], ["sweep"]],
        [["leave"], ["insert", "convert"]],
        [["wait", "get"], ["list"]],
        *(
            [[["wait"], ["update", "convert"]], [["wait"], ["repair", "convert"]], [["wait", "convert"], ["heal"]]]
            if FULL
            else []
        ),
    ],
    ids=str,
)
def test_what_v1_cannot_express_waits_too(clients):
    """An entity that waits or stays for a while has V2's own values again once it converts."""
    visited("outcomes with notes", [noted_scenario(clients)])


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_mutant_of_an_outcome_is_killed(mutant, monkeypatch):
    """The scenario is sound as the steps stand, and has a counter-example once the guard is taken away."""
    check_killed(mutant, monkeypatch)
    if mutant.visible:
        check_shown(mutant)
