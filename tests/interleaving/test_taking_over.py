"""What a fail-over takes back has been seen: it changes no acknowledged write of V2 as the only truth, and no answer.

`--full` begins in every state, and lets another member take over twice.
"""

from itertools import combinations_with_replacement, product

import pytest

from lazymig.stores.v2_alone import AloneStore
from tests.interleaving.mutants import Mutant
from tests.interleaving.phases_side_by_side import ALONE
from tests.interleaving.running import check_killed, check_shown, visited
from tests.interleaving.taking_over import taking_over
from tests.widening import WIDENING

FULL = WIDENING.full
CALLS = ("get", "insert", "update", "delete")
STATES = tuple(ALONE) if FULL else ("V2 alone", "tombstone", "neither")
CONFIRM = AloneStore._confirm_missing


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


# ---- mutants --------------------------------------------------------------------------------------------------------


def next_number(monkeypatch):
    """A write takes the number after the last one."""
    monkeypatch.setattr(AloneStore, "_raise", lambda _store, seen: seen.intent + 1)


def blind_confirmation(monkeypatch):
    """What was missing counts as missing, no matter what the member holds that confirms it."""

    async def confirm(store, id):
        await CONFIRM(store, id)
        return True

    monkeypatch.setattr(AloneStore, "_confirm_missing", confirm)


def hasty_look(monkeypatch):
    """An insert that finds its id taken looks at what the primary has, which the majority may lack."""
    monkeypatch.setattr(AloneStore, "find", AloneStore.find_local)


def shown(state, *calls):
    """The calls of each client."""
    return lambda: taking_over(state, calls)


MUTANTS = (
    Mutant("the next number", next_number, shown("V2 alone", ["update"], ["update", "update"])),
    Mutant("the next number of a tombstone", next_number, shown("tombstone", ["update"], ["insert", "insert"])),
    Mutant("missing is not asked again", blind_confirmation, shown("V2 alone", ["update"], ["delete"])),
    Mutant("taken by what may be taken back", hasty_look, shown("tombstone", ["insert"], ["insert", "delete"])),
)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_mutant_of_what_is_taken_back_is_killed(mutant, monkeypatch):
    """The scenario is sound, and has a counter-example that clients see once the guard is taken away."""
    check_killed(mutant, monkeypatch)
    check_shown(mutant)
