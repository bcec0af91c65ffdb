"""What a fail-over takes back has been seen: no acknowledged write of V2 as the only truth is lost to who saw it.

`--full` takes over twice, and visits more calls.
"""

from itertools import combinations_with_replacement, product

import pytest

from lazymig.stores.v2_alone import AloneStore
from tests.interleaving.mutants import Mutant
from tests.interleaving.running import check_killed, check_shown, visited
from tests.interleaving.taking_over import taking_over
from tests.widening import WIDENING

FULL = WIDENING.full
CALLS = ("get", "update")


def next_number(monkeypatch):
    """A write takes the number after the last one."""
    monkeypatch.setattr(AloneStore, "_raise", lambda _store, seen: seen.intent + 1)


def pairs():
    """Any two calls, and one beside two."""
    twice = [[[one], list(two)] for one, two in product(CALLS, product(CALLS, repeat=2))]
    return [[[one], [other]] for one, other in combinations_with_replacement(CALLS, 2)] + twice


def test_calls_while_another_member_takes_over():
    """A writer that saw what was taken back never wins against a write that came in its place."""
    some = [
        taking_over("V2 alone", clients, times=times) for clients in pairs() for times in ((1, 2) if FULL else (1,))
    ]
    visited("V2 alone, seen before the majority has it", some)


MUTANTS = (Mutant("the next number", next_number, lambda: taking_over("V2 alone", [["update"], ["update"] * 2])),)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_mutant_of_what_is_taken_back_is_killed(mutant, monkeypatch):
    """The scenario is sound, and has a counter-example that clients see once the guard is taken away."""
    check_killed(mutant, monkeypatch)
    check_shown(mutant)
