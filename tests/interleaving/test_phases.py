"""Every two adjacent phases side by side, and each with itself, under every interleaving, with every crash.

`--full` visits all states and calls; without it, those that differ most.
"""

from itertools import product

import pytest
from attrs import evolve

from lazymig.testing.explore import explore
from tests.interleaving.mutants_of_phases import MUTANTS
from tests.interleaving.phases_side_by_side import NAMES, PAIRS, SOME, V2_PRIMARY, PhasesTask, names_of, states_of
from tests.interleaving.running import KILLED, explore_all
from tests.widening import WIDENING

FULL = WIDENING.full
#: Of the states that a pair can meet, those that differ most.
SOME_STATES = {
    "V1 only", "both clean", "dirty before V1's step", "tombstone", "placeholder behind V1", "outdated V2",
    "V2 of a deleted entity", "placeholder with V1", "deleted half way", "V2 alone", "announced too late",
}  # fmt: skip
#: What a call needs at most once nobody else moves.
STEPS_ALONE = 13


def states(phases):
    """The states to begin with."""
    return [state for state in states_of(phases) if FULL or state in SOME_STATES]


def crashes(phases):
    """With crashes; and without, where what is left of a crash may be cleared up before the end is judged."""
    return (True, False) if V2_PRIMARY in phases else (True,)


def sound(report):
    """Whether everything was visited and nothing found."""
    assert not report.violations, report.violations[0]
    assert report.exhaustive
    return True


@pytest.mark.parametrize("phases", PAIRS, ids=" beside ".join)
def test_two_phases_side_by_side(phases):
    """Any call in one phase beside any in the other, with any crash: linearizable, and both agree afterwards."""
    names = NAMES if FULL else SOME
    calls = [
        (a, b)
        for a, b in product(*(names_of(phase, names) for phase in phases))
        if phases[0] != phases[1] or names.index(a) <= names.index(b)
    ]
    tasks = [
        PhasesTask(state, ((a,), (b,)), phases=phases, crashes=crash)
        for state, (a, b), crash in product(states(phases), calls, crashes(phases))
    ]
    _, report = explore_all(" beside ".join(phases), tasks)
    assert sound(report)
    assert report.alone_steps_max <= STEPS_ALONE


@pytest.mark.parametrize("phases", PAIRS, ids=" beside ".join)
def test_two_writes_against_two_reads_of_another_phase(phases):
    """Two writes in a row are seen in their order by a process of the other phase, whichever of the two it is."""
    writes = ("insert", "update", "delete")
    some = product(writes, repeat=2) if FULL else [("update", "delete"), ("delete", "insert")]
    reads = [("get", "list by"), ("list by", "get")] if FULL else [("get", "list by")]
    sides = [clients for both, seen in product(some, reads) for clients in ((both, seen), (seen, both))]
    first = states(phases) if FULL else states(phases)[:1]
    tasks = [PhasesTask(state, clients, phases=phases, crashes=FULL) for state, clients in product(first, sides)]
    assert sound(explore_all(f"two writes, {' beside '.join(phases)}", tasks)[1])


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_mutant_of_a_phase_is_killed(mutant, monkeypatch):
    """The scenario is sound as the phases stand, and has a counter-example once the guard is taken away."""
    assert explore(mutant.scenario()).ok
    mutant.spoil(monkeypatch)
    report = explore(mutant.scenario())
    print(f"{mutant.name}\n{report}")
    assert report.violations, f"survived: {mutant.name}"
    assert report.violations[0].steps
    if mutant.visible:
        assert explore(evolve(mutant.scenario(), invariants={})).violations
    KILLED.append(mutant.name)
