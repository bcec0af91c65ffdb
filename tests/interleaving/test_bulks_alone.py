"""Writes of V2 as the only truth that share statements: every pair of calls, and each guard of theirs bites."""

from itertools import combinations_with_replacement, product

import pytest

from lazymig.stores import grouping
from lazymig.stores.grouping import GuardedWrites
from tests.interleaving.grouped_alone import alone_in_bulks, failing_over
from tests.interleaving.mutants import Mutant
from tests.interleaving.mutants_of_bulks import lost_updates_count
from tests.interleaving.phases_side_by_side import ALONE, NAMES, V2_ONLY, names_of
from tests.interleaving.running import check_killed, visited
from tests.widening import WIDENING

FULL = WIDENING.full
SOME_STATES = ("V2 alone", "announced too late", "tombstone")
SOME = ("get", "insert", "update", "delete")


@pytest.mark.parametrize("forgets", [False, True], ids=["tombstones", "forgets"])
def test_every_pair_of_calls_on_v2_alone_in_bulks(forgets):
    """Any two calls, in any order of the steps of their bulks, with any crash, and where one is cancelled."""
    states, names = (ALONE, names_of(V2_ONLY, NAMES)) if FULL else (SOME_STATES, SOME)
    pairs = list(product(states, combinations_with_replacement(names, 2)))
    made = [alone_in_bulks(state, [[one], [other]], forgets=forgets) for state, (one, other) in pairs]
    lives = [["delete", "insert"], ["update", "delete"]]
    made += [alone_in_bulks("V2 alone", [some, [other]], forgets=forgets) for some in lives for other in SOME]
    cancelled = [["delete"], ["update"]], [["delete"], ["delete"]], [["insert"], ["delete"]]
    made += [alone_in_bulks("V2 alone", some, forgets=forgets, cancellations=1) for some in cancelled]
    visited("V2 alone in bulks", made)


def test_deletes_that_leave_nothing_while_another_member_takes_over():
    """Of the first step, a fail-over at any time takes back what the majority does not have yet."""
    names = names_of(V2_ONLY, NAMES) if FULL else SOME
    made = [failing_over(state, [["delete"], [other]]) for state, other in product(SOME_STATES, names)]
    made += [failing_over("V2 alone", [["delete"], some]) for some in (["delete", "insert"], ["update", "delete"])]
    visited("V2 alone in bulks, beside a fail-over", made)


# ---- mutants --------------------------------------------------------------------------------------------------------


def inserting_pipelines(monkeypatch):
    """A replacement whose filter matches nothing inserts the body."""
    monkeypatch.setattr(grouping, "_build_upsert", lambda one: (one.where, one.update))


def shortfall_counts(monkeypatch):
    """A bulk that deleted fewer is taken for done."""
    send = GuardedWrites.send_deletes

    async def all_deleted(writes, requests):
        failures, _ = await send(writes, requests)
        return failures, len(requests) - len(failures)

    monkeypatch.setattr(GuardedWrites, "send_deletes", all_deleted)


def shown(*clients, **options):
    """The calls of each client."""
    return lambda: alone_in_bulks("V2 alone", clients, **options)


def deleted_while_taken_over():
    """A delete beside a fail-over."""
    return failing_over("V2 alone", [["delete"], ["get"]])


MUTANTS = (
    Mutant("replacements insert", inserting_pipelines, shown(["update"], ["delete"], forgets=True)),
    Mutant("lost replacements count", lost_updates_count, shown(["update"], ["update"])),
    Mutant("a shortfall counts as done", shortfall_counts, shown(["delete"], ["delete"], forgets=True)),
    Mutant("what fell back counts as deleted", shortfall_counts, deleted_while_taken_over),
)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_mutant_of_bulks_on_v2_alone_is_killed(mutant, monkeypatch):
    """The scenario is sound as the bulks stand, and has a counter-example once the guard is taken away."""
    check_killed(mutant, monkeypatch)
