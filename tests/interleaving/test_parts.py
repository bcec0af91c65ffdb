"""Entities that are parts of documents, under every interleaving: beside each other, other programs, and the seal.

`--full` visits all states and calls; without it, those that differ most. The steps are those of whole documents, so
what is visited by default is what a part does in another way: inserts, deletes, and documents that come and go.
"""

from itertools import combinations_with_replacement, product

import pytest

from lazymig.stores.fencing import find_fencing
from tests.interleaving import parts, parts_followed, repairs, seals
from tests.interleaving import phases_side_by_side as phases
from tests.interleaving.mutants_of_parts import MUTANTS
from tests.interleaving.parts import NOWHERE, OutsideTask, PartsTask, SealedPartsTask
from tests.interleaving.phases_side_by_side import COEXIST, PREPARE, SHADOW, V1_ONLY, V2_PRIMARY
from tests.interleaving.running import check_killed, check_shown, explore_all, visited
from tests.interleaving.subject import STATES
from tests.widening import WIDENING

FULL = WIDENING.full
PAIRS = phases.PAIRS if FULL else ((V1_ONLY, PREPARE), (SHADOW, COEXIST), (COEXIST, V2_PRIMARY))
WRITES = ("insert", "update", "delete")
#: What a program that does not use lazymig does, and the calls that this meets.
OUTSIDE = ("outside delete", "outside remove", "outside create", "outside other")
MET = ("get", "list", "V1 get", "V1 insert", "V1 delete", *WRITES) if FULL else ("get", *WRITES)


def explored_without_fault(name, tasks):
    """Explore all of these; none has a fault, and none is left out."""
    _, report = explore_all(name, tasks)
    assert not report.violations, report.violations[0]
    assert report.exhaustive


def side_by_side(pair):
    """Any write in one phase beside any call in the other."""
    possible = phases.states_of(pair)
    states = possible if FULL else [state for state in ("neither", "deleted half way") if state in possible]
    first, second = (phases.names_of(phase, phases.NAMES if FULL else ("get", *WRITES)) for phase in pair)
    return [PartsTask(state, ((a,), (b,)), phases=pair) for state, a, b in product(states, first, second)]


def test_two_phases_side_by_side():
    """In adjacent phases and with any crash: linearizable, and what belongs to others stays as it is."""
    explored_without_fault("parts in adjacent phases", [task for pair in PAIRS for task in side_by_side(pair)])


def test_beside_programs_that_do_not_use_lazymig():
    """Such a program deletes or makes the document, removes the fields or writes others: each answer fits an order.

    An insert is refused where there is no document, and where there is one it is not.
    """
    states = (NOWHERE, *(STATES if FULL else ("V1 only",)))
    in_v1 = [
        OutsideTask(state, ((call,), (other,)), phase=V1_ONLY) for state, call, other in product(states, MET, OUTSIDE)
    ]
    states = (NOWHERE, *(("neither", "V1 only", "both clean", "tombstone") if FULL else ("both clean",)))
    compared = [
        OutsideTask(state, ((call,), (other,)), phase=COEXIST, checked=True)
        for state, call, other in product(states, MET, OUTSIDE)
    ]
    twice = [
        OutsideTask(NOWHERE, (("insert",), ("outside create", "outside delete")), phase=phase, checked=phase is COEXIST)
        for phase in (V1_ONLY, COEXIST)
    ]
    explored_without_fault("parts beside other programs", [*in_v1, *compared, *twice])


def test_a_stale_client_beside_the_seal():
    """V1 has no fence, other programs go on writing it, and still no late write gets in."""
    states = seals.LEFT if FULL else ("placeholder without V1", "deleted half way", "tombstone")
    calls = phases.NAMES if FULL else WRITES
    then = (("update", "delete"), ("delete", "insert")) if FULL else (("update", "get"),)
    tasks = [SealedPartsTask(state, ((call,), some)) for state, call, some in product(states, calls, then)]
    explored_without_fault("parts, and a stale client beside the seal", tasks)


def test_the_seal_is_given_up_where_a_document_may_come(monkeypatch):
    """An insert is open for which V1 has no document: the seal says so, changes nothing, and lifts V2's fence."""
    monkeypatch.setitem(seals.LEFT, "nowhere, announced", (({"_id": 1},), STATES["placeholder without V1"][1]))
    with parts.as_parts():
        world = seals.setup("nowhere, announced")(None)
    refused = run(seals.seal(world.subject))
    assert not refused.sealed
    assert "V1 has no document, with the ids 1: run lazymig sweep" in refused.why
    assert find_fencing(world.stores[1].options) is None
    assert world.stores[1].stored(1) == STATES["placeholder without V1"][1][0]


@pytest.mark.usefixtures("short_waits")
@pytest.mark.parametrize("outside", parts_followed.OUTSIDE)
def test_followed_whatever_crosses(outside):
    """An outside write and a call cross, anybody dies, and both sides agree once all events are handled."""
    states = repairs.SOUND if FULL else ("both clean", "tombstone")
    calls = ("get", "V1 update", "heal", *WRITES) if FULL else ("get", *WRITES)
    some = [[[outside], [name]] for name in calls]
    visited("parts followed", [parts_followed.scenario(state, one) for state in states for one in some])


@pytest.mark.usefixtures("short_waits")
def test_own_writes_are_not_counted(monkeypatch):
    """Without outside writes the follower takes nothing for another program's, whatever crosses and dies."""
    states = repairs.SOUND if FULL else ("both clean", "V1 only, without a revision")
    some = [[[one], [other]] for one, other in combinations_with_replacement(WRITES, 2)]
    with parts_followed.as_parts():
        made = [parts_followed.scenario(state, one, strict=True) for state in states for one in some]
        visited("own writes of parts", made)


def run(coroutine):
    """What a coroutine returns that never waits."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        return end.value
    raise AssertionError("it waited")


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_mutant_of_parts_is_killed(mutant, monkeypatch):
    """The scenario is sound as the guards stand, and has a counter-example once one is taken away."""
    check_killed(mutant, monkeypatch)
    if mutant.visible:
        check_shown(mutant)
