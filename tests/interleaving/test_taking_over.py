"""What a fail-over takes back has been seen: it changes no acknowledged write of the truth, and no answer.

`--full` begins in every state, and lets another member take over twice.
"""

from itertools import combinations_with_replacement, product

import pytest

from lazymig.stores.mongo_v1 import V1Store
from lazymig.stores.mongo_wholes import WholeStore
from lazymig.stores.v2_alone import AloneStore
from tests.interleaving.in_place.scenarios import PAIRS as PAIRS_IN_PLACE
from tests.interleaving.mutants import Mutant
from tests.interleaving.phases_side_by_side import (
    ALONE,
    COEXIST,
    PAIRS,
    PREPARE,
    SHADOW,
    V1_ONLY,
    V2_ONLY,
    V2_PRIMARY,
    states_of,
)
from tests.interleaving.running import check_killed, check_shown, visited
from tests.interleaving.taking_over import WaitingV1, leaving, taking_over, taking_over_one, taking_over_v1
from tests.widening import WIDENING

FULL = WIDENING.full
CALLS = ("get", "insert", "update", "delete")
STATES = tuple(ALONE) if FULL else ("V2 alone", "tombstone", "neither")
#: Two phases of V1, and what they begin with: one that announces nothing, one that does, and both that trust V2.
PHASES = tuple(pair for pair in PAIRS if V2_ONLY not in pair) if FULL else ((V1_ONLY, PREPARE), (COEXIST, V2_PRIMARY))
KNOWN = ("V1 only", "both clean", "neither")
#: The same of one document.
PHASES_IN_PLACE = PAIRS_IN_PLACE if FULL else ((V1_ONLY, SHADOW), (COEXIST, V2_PRIMARY), (V2_PRIMARY, V2_ONLY))
STANDING = ("none", "V1 only", "both current")


def pairs():
    """Any two calls."""
    return [[[one], [other]] for one, other in combinations_with_replacement(CALLS, 2)]


def beside_two():
    """A call beside two of another client."""
    ones = CALLS if FULL else CALLS[1:]
    return [[[one], [first, second]] for one, first, second in product(ones, ones, CALLS)]


def test_calls_while_another_member_takes_over():
    """What a call saw and is taken back changes neither its answer nor what came in its place."""
    often = (1, 2) if FULL else (1,)
    some = [taking_over(state, calls, times=times) for state, calls, times in product(STATES, pairs(), often)]
    for number, calls in enumerate(beside_two()):
        some += [taking_over(state, calls) for state in (STATES if FULL else [STATES[number % len(STATES)]])]
    visited("V2 alone, seen before the majority has it", some)


@pytest.mark.parametrize("phases", PHASES, ids=" beside ".join)
def test_calls_while_another_member_takes_over_v1(phases):
    """What a call saw of V1 and is taken back changes neither its answer nor what came in its place."""
    states = [state for state in states_of(phases) if FULL or state in KNOWN]
    some = [taking_over_v1(phases, state, calls) for state, calls in product(states, pairs())]
    several = beside_two() if FULL else [[["update"], ["delete", "get"]], [["delete"], ["insert", "delete"]]]
    some += [taking_over_v1(phases, states[number % len(states)], calls) for number, calls in enumerate(several)]
    visited(f"V1 in {' beside '.join(phases)}, seen before the majority has it", some)


def test_calls_while_another_member_takes_over_what_v2_does_not_know():
    """V2's door answers that it does not know an entity only where the majority has what `upgrade` leaves."""
    firsts = ("update", "delete", "replace") if FULL else ("update",)
    others = ("leave", "convert", "V1 delete", "insert left")
    in_v1 = ("V1 only", "left, V1 only", "neither")
    states = {V1_ONLY: in_v1, PREPARE: in_v1, COEXIST: ("both clean", "left", *in_v1[1:])}
    some = [
        leaving(state, [[one], [other]], phase)
        for phase, begun in states.items()
        for state, one, other in product(begun, firsts, others)
    ]
    visited("left in V1, seen before the majority has it", some)


@pytest.mark.parametrize("phases", PHASES_IN_PLACE, ids=" beside ".join)
def test_calls_while_another_member_takes_over_one_document(phases):
    """What a call saw of a document and is taken back changes neither its answer nor what came in its place."""
    states = ("none", "both current", "alone") if phases == (V2_ONLY, V2_ONLY) else STANDING
    some = [taking_over_one(phases, state, calls) for state, calls in product(states, pairs())]
    for number, calls in enumerate(beside_two()):
        begun = states if FULL else [states[number % len(states)]]
        some += [taking_over_one(phases, state, calls) for state in begun]
    visited(f"one document in {' beside '.join(phases)}, seen before the majority has it", some)


# ---- mutants --------------------------------------------------------------------------------------------------------


def next_number(monkeypatch):
    """A write takes the number after the last one."""
    monkeypatch.setattr(AloneStore, "_raise", lambda _store, seen: seen.intent + 1)


def blind_confirmation(monkeypatch):
    """What was missing counts as missing, no matter what the member holds that confirms it."""

    def blind(confirm):
        async def confirmed(store, one):
            await confirm(store, one)
            return True

        return confirmed

    for store in (AloneStore, V1Store, WholeStore):
        monkeypatch.setattr(store, "_confirm_missing", blind(store._confirm_missing))


def anything_left(monkeypatch):
    """V1's document counts as left, no matter at which revision the member has it that confirms it."""

    waited = WaitingV1.confirm_missing

    async def confirm(store, id, left=None):
        missing = await waited(store, id)
        return missing or left is not None

    monkeypatch.setattr(WaitingV1, "confirm_missing", confirm)


def hasty_look(monkeypatch):
    """An insert that finds its id taken looks at what the primary has, which the majority may lack."""
    monkeypatch.setattr(AloneStore, "find", AloneStore.find_local)


def shown(state, *calls):
    """The calls of each client."""
    return lambda: taking_over(state, calls)


def of_v1(phase, state, *calls):
    """The same of clients that write V1."""
    return lambda: taking_over_v1((phase, phase), state, calls)


def of_one(phase, state, *calls):
    """The same of one document."""
    return lambda: taking_over_one((phase, phase), state, calls)


def of_left(phase, state, *calls):
    """The same where V2's door does not know some entities."""
    return lambda: leaving(state, calls, phase)


UPDATE_GONE = (["update"], ["delete"])
MUTANTS = (
    Mutant("the next number", next_number, shown("V2 alone", ["update"], ["update", "update"])),
    Mutant("the next number of a tombstone", next_number, shown("tombstone", ["update"], ["insert", "insert"])),
    Mutant("missing is not asked again", blind_confirmation, shown("V2 alone", ["update"], ["delete"])),
    *(
        Mutant(f"missing in V1 is not asked again in {phase}", blind_confirmation, of_v1(phase, state, *UPDATE_GONE))
        for phase, state in (
            (PREPARE, "V1 only"),
            (SHADOW, "V1 only"),
            (COEXIST, "both clean"),
            (V2_PRIMARY, "both clean"),
        )
    ),
    *(
        Mutant(f"a missing document is not asked for again in {phase}", blind_confirmation, of_one(phase, *begun))
        for phase, begun in product((V1_ONLY, COEXIST, V2_PRIMARY), [("both current", *UPDATE_GONE)])
    ),
    *(
        Mutant(f"left is not asked again in {phase}", anything_left, of_left(phase, state, ["update"], ["leave"]))
        for phase, state in ((V1_ONLY, "V1 only"), (PREPARE, "V1 only"), (COEXIST, "both clean"))
    ),
    Mutant("taken by what may be taken back", hasty_look, shown("tombstone", ["insert"], ["insert", "delete"])),
)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_mutant_of_what_is_taken_back_is_killed(mutant, monkeypatch):
    """The scenario is sound, and has a counter-example that clients see once the guard is taken away."""
    check_killed(mutant, monkeypatch)
    check_shown(mutant)
