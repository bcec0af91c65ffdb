"""Each guard of the protocol bites: without it, the explorer finds what breaks, and shows it step by step."""

import pytest

from lazymig.testing.explore import explore, total
from tests.interleaving.mutants import MUTANTS as OF_THE_PROTOCOL
from tests.interleaving.mutants import ignored_ticket, unguarded_apply
from tests.interleaving.mutants_of_amendments import MUTANTS as OF_AMENDMENTS
from tests.interleaving.mutants_of_repairs import MUTANTS as OF_REPAIRS
from tests.interleaving.running import check_killed, check_shown
from tests.interleaving.subject import INVARIANTS, scenario

MUTANTS = (*OF_THE_PROTOCOL, *OF_AMENDMENTS, *OF_REPAIRS)
CROSSING = [("update", "update"), ("update", "delete"), ("update", "get"), ("update", "heal")]


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_mutant_is_killed(mutant, monkeypatch):
    """The scenario is sound as the protocol stands, and has a counter-example once the guard is taken away."""
    check_killed(mutant, monkeypatch)


@pytest.mark.parametrize("mutant", [mutant for mutant in MUTANTS if mutant.visible], ids=lambda mutant: mutant.name)
def test_mutant_shows_to_clients(mutant, monkeypatch):
    """What the guard prevents is wrong answers: clients see them, whatever the invariants say."""
    mutant.spoil(monkeypatch)
    check_shown(mutant)


def test_there_are_enough_mutants():
    """At least a dozen guards are shown to bite, each under a name of its own."""
    assert len({mutant.name for mutant in MUTANTS}) >= 12


def crossing(**changes):
    """Updates that cross something, from both clean, as one report."""
    return total("crossing", [explore(scenario("both clean", [[a], [b]], **changes)) for a, b in CROSSING])


def test_unguarded_apply_is_safe_and_slower(monkeypatch):
    """Without its guard on the revision, apply breaks nothing, but leaves V2 dirty more often."""
    # It may also take off a mark that it should leave, which is why the mark is not asked for here.
    invariants = {name: check for name, check in INVARIANTS.items() if name != "marked"}
    guarded = crossing(invariants=invariants)
    unguarded_apply(monkeypatch)
    unguarded = crossing(invariants=invariants)
    print(guarded, unguarded, sep="\n")
    assert guarded.ok
    assert unguarded.ok
    assert unguarded.dirty_interleavings * guarded.interleavings > guarded.dirty_interleavings * unguarded.interleavings


def test_ignoring_an_earlier_announcement_is_safe(monkeypatch):
    """A writer that takes a dirty body for current loses V1's compare-and-set, and starts again from V1."""
    ignored_ticket(monkeypatch)
    report = crossing()
    print(report)
    assert report.ok
