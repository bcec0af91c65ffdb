"""Updates of several callers as one edit, beside another process: in every order of their steps, with every crash.

`--full` visits all phases, states and calls; without it, those that differ most.
"""

from itertools import product

import pytest

from tests.interleaving import phases_side_by_side as phases
from tests.interleaving.in_place.scenarios import COEXIST, V2_ONLY, V2_PRIMARY
from tests.interleaving.in_place.scenarios import PAIRS as IN_PLACE
from tests.interleaving.joined import NAMES, beside, beside_in_place, calls_in_place
from tests.interleaving.mutants_of_joined import MUTANTS
from tests.interleaving.running import check_killed, check_shown, visited
from tests.widening import WIDENING

FULL = WIDENING.full
ALIKE = (COEXIST, COEXIST)
IN_PLACE_NAMES = tuple(calls_in_place(1))
SOME = ("two", "first leaves", "V1 between")
WRITES = ("insert", "update", "delete", "V1 update", "replace") if FULL else ("update", "delete")
STATES = {
    id(phases.UNTRUSTED): ("outdated V2",),
    id(phases.STATES): ("both clean", "placeholder behind V1"),
    id(phases.COMPLETE): ("both clean",),
    id(phases.ALONE): ("V2 alone",),
}


def sound(name, tasks):
    """Explore these; nothing is found, and nothing left out."""
    report = visited(name, [task.scenario() for task in tasks])
    assert report.crash_ends > 0


@pytest.mark.parametrize("pair", [*phases.PAIRS, ALIKE], ids=" beside ".join)
def test_two_collections(pair):
    """Each caller's result is right in one order with all others', whatever crosses their write, in any phase."""
    possible = phases.states_of(pair)
    states = tuple(possible) if FULL else STATES[id(possible)]
    others = phases.names_of(pair[1], ("get", *WRITES, "heal") if FULL or pair == ALIKE else ("get", "update"))
    names = NAMES if FULL else SOME if pair == ALIKE else ("V1 between",)
    sound("joined", [beside(name, state, (other,), pair) for name, state, other in product(names, states, others)])


def test_cancelled():
    """So it is where all callers are gone, at any moment."""
    names = NAMES if FULL else ("two",)
    sound("joined, cancelled", [beside(*one, ("update",), cancellations=1) for one in product(names, ["both clean"])])


def test_beside_two_writes():
    """So it is beside a client that writes twice: the callers may lose twice."""
    writes = list(product(WRITES, repeat=2)) if FULL else [("update", "update")]
    names = ("two", "first raises") if FULL else ("first raises",)
    sound("joined, twice", [beside(name, "both clean", one) for name, one in product(names, writes)])


@pytest.mark.parametrize(
    "pair", [pair for pair in IN_PLACE if pair[0] in (COEXIST, V2_PRIMARY, V2_ONLY)], ids=" beside ".join
)
def test_one_document(pair):
    """So it is in one document, beside programs that do not know lazymig as well."""
    # Beside `v2_only` other programs write V1's part no more.
    others = ("get", *WRITES) if V2_ONLY in pair else ("get", *WRITES, "out tally", "out name")
    alone = ("alone",) if V2_ONLY in pair else ()
    states = ("V1 only", "both current", "stale", *alone) if FULL else ("both current", *alone)
    names = IN_PLACE_NAMES if FULL else ("two", "second raises", "V1 two")
    tasks = [beside_in_place(name, state, (other,), pair) for name, state, other in product(names, states, others)]
    sound("joined in place", tasks)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_mutant_of_joined_edits_is_killed(mutant, monkeypatch):
    """The scenario is sound as the edit stands, and has a counter-example once the guard is taken away."""
    check_killed(mutant, monkeypatch)
    if mutant.visible:
        check_shown(mutant)
