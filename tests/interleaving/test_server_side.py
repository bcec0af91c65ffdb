"""A sweep on the server, beside every call, under every interleaving and with every crash."""

import pytest

from tests.interleaving.running import check_killed, check_shown, visited
from tests.interleaving.server_side import BESIDE, MUTANTS, STATES, calls, late_scenario, scenario
from tests.widening import WIDENING


def test_beside_every_call():
    """Linearizable and coherent, whatever a client does between the server's read of V1 and its insert into V2."""
    names = calls(0) if WIDENING.full else BESIDE
    names = [name for name in names if name not in ("delete and forget", "slow sweep")]
    states = (*STATES, "tombstone", "placeholder with V1") if WIDENING.full else STATES[1:]
    made = [scenario(state, [["server sweep"], [name]]) for state in states for name in names]
    report = visited("a server-side sweep beside each call", made)
    assert report.crash_ends > report.ends


def test_beside_a_delete_that_v2_forgets():
    """Where the statement took long, V1 is looked at again, and the deleted entity does not answer."""
    visited("a late server-side sweep", [late_scenario([["server sweep"], ["delete and forget"]])])


def test_beside_two_calls():
    """An entity is deleted and inserted again, or written twice, beside the server's statement."""
    both = [["delete", "insert"], ["update", "delete"], ["V1 update", "update"]]
    visited("a server-side sweep beside two calls", [scenario("V1 only", [["server sweep"], two]) for two in both])


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_mutant_is_killed(mutant, monkeypatch):
    """The scenario is sound as it stands, and has a counter-example once the guard is taken away."""
    check_killed(mutant, monkeypatch)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_mutant_shows_to_clients(mutant, monkeypatch):
    """What the guard prevents is wrong answers, whatever the invariants say."""
    mutant.spoil(monkeypatch)
    check_shown(mutant)
