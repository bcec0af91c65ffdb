"""What V2 alone holds survives every acknowledged write that did not change it, where bodies come in time.

`--full` visits every pair of calls from every state, and two calls beside each; without it, those that differ most.
"""

from itertools import combinations_with_replacement, product

import pytest

from lazymig import Phase
from tests.interleaving import given_time
from tests.interleaving.given_time import REVISED, in_bulks
from tests.interleaving.mutants_of_due_bodies import MUTANTS
from tests.interleaving.running import check_killed, visited
from tests.interleaving.subject import STATES
from tests.widening import WIDENING

FULL = WIDENING.full
NAMES = (
    "note", "update", "V1 update", "replace", "heal", "delete", "insert", "get", "sweep", "failed update",
)  # fmt: skip
SOME_NAMES = ("note", "V1 update", "insert", "get", "sweep")
SOME_STATES = ("both clean", "V1 only", "dirty before V1's step")
#: Two calls of one client: the first one's body, or what it repairs, is where the second one starts.
TWICE = (
    ("note", "update"), ("note", "V1 update"), ("note", "heal"), ("note", "note"), ("get", "update"),
    ("sweep", "update"), ("failed update", "note"),
)  # fmt: skip
#: An entity is made while another one with its id goes.
LIVES = (
    [["insert"], ["insert"]], [["delete"], ["insert"]], [["note", "delete"], ["insert"]],
    [["delete", "note"], ["insert"]],
)  # fmt: skip
#: Where such an entity may be: without a revision, its numbers say least.
LIVED = STATES if FULL else ("V1 only, without a revision", "deleted half way", "both clean")
CHANGES = ("note", "update", "V1 update", "replace", "heal", "get", "sweep")
#: Where `v2_primary` may begin: V2 holds every entity.
HELD = ("both clean", "dirty before V1's step", "dirty after V1's step", "neither", "tombstone", "deleted half way")


def pairs():
    """Any two calls."""
    return [[[first], [second]] for first, second in combinations_with_replacement(NAMES if FULL else SOME_NAMES, 2)]


def beside_two():
    """A call that writes, beside two calls of another client."""
    twice = product(CHANGES, repeat=2) if FULL else TWICE
    return [[[one], list(two)] for one, two in product(CHANGES[:4] if FULL else ("note",), twice)]


def test_two_calls():
    """Two calls cross: no order of them loses a note that was not changed."""
    states = STATES if FULL else SOME_STATES
    some = [*product(states, pairs()), *product(LIVED, LIVES)]
    visited("given time, pairs", [given_time.scenario(*one) for one in some])


def test_a_call_beside_two():
    """A writer that lost a race may use the number of another's ticket, which waits for its body then."""
    states = STATES if FULL else ("both clean", "dirty before V1's step")
    visited("given time, one call beside two", [given_time.scenario(*one) for one in product(states, beside_two())])


def test_calls_in_bulks():
    """Nor where all writes share statements."""
    twice = beside_two() if FULL else [[["note"], list(two)] for two in TWICE[:3]]
    both = [*pairs(), *twice] if FULL else twice
    states = SOME_STATES if FULL else ("both clean",)
    visited("given time, in bulks", [in_bulks(*one) for one in product(states, both)])


def test_bodies_of_an_older_conversion():
    """Nor where a sweep converts the older bodies again."""
    states = STATES if FULL else ("both clean", "dirty before V1's step")
    writes = (["note"], ["note", "note"], ["V1 update", "note"]) if FULL else (["note"], ["V1 update"])
    some = [[one, ["reconvert", then]] for one, then in product(writes, ("update", "V1 update"))]
    visited("given time, reconverted", [given_time.scenario(*one, migration=REVISED) for one in product(states, some)])


def test_listings_by_v2():
    """Nor where a listing brings V2 up to V1, as it does in the phase `v2_primary`."""
    states = HELD if FULL else HELD[:2]
    writes = (["note"], ["note", "note"], ["V1 update", "note"], ["delete", "insert"]) if FULL else (["note"],)
    some = [[one, ["list", then]] for one, then in product(writes, ("update", "V1 update"))]
    tasks = [given_time.scenario(*one, phase=Phase.V2_PRIMARY) for one in product(states, some)]
    visited("given time, listed by V2", tasks)


def test_a_writer_that_others_do_not_wait_for():
    """A body that comes late, and before others have gone past it, is kept as well."""
    beside = ("get", "sweep", "note", "V1 update", "heal")
    visited("a slow writer", [given_time.slow_scenario(call) for call in beside])


@pytest.mark.skipif(not FULL, reason="takes minutes; --full visits it")
@pytest.mark.parametrize("third", CHANGES)
def test_three_clients(third):
    """Three clients with a call each keep what V2 alone holds."""
    some = [[[one], [other], [third]] for one, other in combinations_with_replacement(CHANGES[:3], 2)]
    visited(f"given time, three clients, {third}", [given_time.scenario("both clean", one) for one in some])


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_mutant_of_due_bodies_is_killed(mutant, monkeypatch):
    """The scenario is sound as the guards stand, and has a counter-example once one is taken away."""
    check_killed(mutant, monkeypatch)
