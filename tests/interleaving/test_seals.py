"""The seal beside stale clients, under every interleaving: what the database refuses, and that nothing is lost.

`--full` visits all states, calls and more of the operator's calls; without it, those that differ most.
"""

from itertools import product

import pytest

from tests.interleaving.mutants_of_seals import MUTANTS
from tests.interleaving.phases_side_by_side import NAMES
from tests.interleaving.running import check_killed, check_shown, explore_all, visited
from tests.interleaving.seals import FENCED, LEFT, SealTask, scenario
from tests.widening import WIDENING

FULL = WIDENING.full
STATES = tuple(LEFT) if FULL else ("both clean", "placeholder without V1", "deleted half way", "tombstone")
CALLS = NAMES if FULL else ("get", "insert", "update", "delete", "list by", "V1 update", "purge", "heal", "repair")
WRITES = ("insert", "update", "delete")
#: What the operator does once it has made its seal.
THEN = (
    (("update", "get"), ("delete", "insert"), ("insert", "update"), ("update", "delete"), ("get", "update"))
    if FULL
    else (("update", "delete"),)
)


def explored_without_fault(name, tasks):
    """Explore all of these; none has a fault, and none is left out."""
    _, report = explore_all(name, tasks)
    assert not report.violations, report.violations[0]
    assert report.exhaustive


def test_a_stale_client_beside_the_seal():
    """A call that was invoked before the seal does what it answers, whenever it wakes up, and whatever client dies."""
    tasks = [SealTask(state, ((call,), then)) for state, call, then in product(STATES, CALLS, THEN)]
    explored_without_fault("a stale client beside the seal", tasks)


def test_a_write_that_overtakes_the_number_of_a_late_raise():
    """Writes in `v2_only` bring V2 to every number that a late writer may announce, and it is refused all the same."""
    then = (("update", "update"), ("delete", "insert"), ("insert", "get")) if FULL else (("update", "update"),)
    calls = WRITES if FULL else ("update", "delete")
    states = tuple(LEFT) if FULL else ("both clean",)
    tasks = [SealTask(state, ((call,), some)) for state, call, some in product(states, calls, then)]
    explored_without_fault("a late raise beside v2_only", tasks)


def test_two_stale_clients_beside_the_seal():
    """Two of them, who may close each other's marks before the seal looks."""
    some = [("placeholder without V1", "update", "get"), ("tombstone", "update", "get")]
    if FULL:
        pairs = [("update", "get"), ("update", "update"), ("delete", "get"), ("insert", "get"), ("update", "delete")]
        some += [(state, *pair) for state, pair in product(LEFT, pairs)]
    tasks = [SealTask(state, ((a,), (b,), ("update", "get")), crashes=False) for state, a, b in some]
    explored_without_fault("two stale clients beside the seal", tasks)


def test_nothing_keeps_a_seal_that_is_alone_from_closing():
    """From every state that crashes leave, fences of a dead attempt included, the phase is switched."""
    then = ("get", "list by", "update", "delete")
    visited("the seal alone", [scenario(state, [[call]]) for state, call in product((*LEFT, *FENCED), then)])


def test_a_seal_over_the_fences_of_a_dead_attempt():
    """The fences that a dead attempt left are lifted, or taken over, beside a client that writes."""
    some = (
        product(FENCED, WRITES) if FULL else [("both clean, V2 fenced", "update"), ("both clean, both fenced", "get")]
    )
    tasks = [SealTask(state, ((call,), ("update",))) for state, call in some]
    explored_without_fault("the seal after a dead one", tasks)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_mutant_of_the_seal_is_killed(mutant, monkeypatch):
    """The scenario is sound as the seal stands, and has a counter-example once the guard is taken away."""
    check_killed(mutant, monkeypatch)
    if mutant.visible:
        check_shown(mutant)
