"""Every two adjacent phases side by side, and each with itself, under every interleaving, with every crash.

`--full` visits all states and calls; without it, those that differ most.
"""

from itertools import product

import pytest

from lazymig.testing.explore import total
from tests.interleaving.mutants_of_phases import MUTANTS
from tests.interleaving.phases_side_by_side import (
    ALONE,
    COMPLETE,
    NAMES,
    PAIRS,
    SOME,
    UNTRUSTED,
    V2_PRIMARY,
    PhasesTask,
    names_of,
    states_of,
)  # fmt: skip
from tests.interleaving.running import check_killed, check_shown, explore_all
from tests.interleaving.subject import STATES
from tests.widening import WIDENING

FULL = WIDENING.full
#: Of the states that two phases can meet, those that differ most.
SOME_STATES = {
    id(UNTRUSTED): ("placeholder behind V1", "outdated V2", "V2 of a deleted entity"),
    id(STATES): ("V1 only", "both clean", "tombstone", "placeholder behind V1"),
    id(COMPLETE): ("both clean", "placeholder with V1", "deleted half way"),
    id(ALONE): ("V2 alone", "announced too late", "tombstone"),
}
#: What a call needs at most once nobody else moves.
STEPS_ALONE = 13


def states(phases):
    """The states to begin with."""
    possible = states_of(phases)
    return tuple(possible) if FULL else SOME_STATES[id(possible)]


def crashes(phases):
    """With crashes; and without, where what is left of a crash may be cleared up before the end is judged."""
    return (True, False) if V2_PRIMARY in phases else (True,)


def single_calls(phases):
    """Any call in one phase beside any in the other."""
    names = NAMES if FULL else SOME
    calls = [
        (a, b)
        for a, b in product(*(names_of(phase, names) for phase in phases))
        if phases[0] != phases[1] or names.index(a) <= names.index(b)
    ]
    return [
        PhasesTask(state, ((a,), (b,)), phases=phases, crashes=crash)
        for state, (a, b), crash in product(states(phases), calls, crashes(phases))
    ]


def two_writes(phases):
    """Two writes in a row in one phase beside two reads in the other, and the other way round."""
    writes = ("insert", "update", "delete")
    some = product(writes, repeat=2) if FULL else [("update", "delete"), ("delete", "insert")]
    reads = [("get", "list by"), ("list by", "get")] if FULL else [("get", "list by")]
    sides = [clients for both, seen in product(some, reads) for clients in ((both, seen), (seen, both))]
    first = states(phases) if FULL else states(phases)[:1]
    return [PhasesTask(state, clients, phases=phases, crashes=FULL) for state, clients in product(first, sides)]


def repairs(phases):
    """A repair in either phase beside a write in the other: what a repair buries, no listing must miss."""
    sides = [("repair",), ("insert",)], [("repair",), ("delete", "insert")], [("update",), ("repair",)]
    clients = [some for one in sides for some in (tuple(one), tuple(reversed(one)))]
    if not (FULL or V2_PRIMARY in phases) or not all("repair" in names_of(phase) for phase in phases):
        return []
    # Without `--full`, each is explored either with crashes or without.
    return [
        PhasesTask(state, some, phases=phases, crashes=crash)
        for (number, state), (other, some) in product(enumerate(states(phases)), enumerate(clients))
        for place, crash in enumerate(crashes(phases))
        if FULL or (number + other) % len(crashes(phases)) == place
    ]


@pytest.mark.parametrize("make", [single_calls, two_writes, repairs], ids=lambda make: make.__name__.replace("_", " "))
def test_two_phases_side_by_side(make):
    """With any crash: linearizable, each phase's invariants hold, and both find the same afterwards in every way."""
    made = {" beside ".join(phases): make(phases) for phases in PAIRS}
    assert any(made.values())
    tasks = [task for some in made.values() for task in some]
    reports, report = explore_all(f"{len(PAIRS)} pairs of phases, {make.__name__}", tasks)
    for name, some in made.items():
        print(total(name, [one for task, one in zip(tasks, reports, strict=True) if task in some]))
    assert not report.violations, report.violations[0]
    assert report.exhaustive
    assert report.alone_steps_max <= STEPS_ALONE


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_mutant_of_a_phase_is_killed(mutant, monkeypatch):
    """The scenario is sound as the phases stand, and has a counter-example once the guard is taken away."""
    check_killed(mutant, monkeypatch)
    if mutant.visible:
        check_shown(mutant)
