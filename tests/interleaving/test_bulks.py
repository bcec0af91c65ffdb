"""Writes that share statements: every pair of calls whose writes go in bulks, and each guard of the bulks bites."""

from itertools import combinations_with_replacement, product

import pytest

from tests.interleaving.grouped import beside_a_process_without_v2, beside_a_program, grouped_scenario
from tests.interleaving.mutants_of_bulks import MUTANTS
from tests.interleaving.running import check_killed, visited
from tests.interleaving.subject import KEEPING, NAMES, STATES, noted_scenario
from tests.widening import WIDENING

FULL = WIDENING.full
SOME_STATES = ("V1 only", "both clean", "dirty before V1's step", "tombstone")
SOME_CALLS = ("get", "insert", "update", "delete", "failed update", "heal")


def test_every_pair_of_calls_in_bulks():
    """Any two calls, in any order of the steps of their bulks, with any crash: linearizable and coherent."""
    states, names = (STATES, NAMES) if FULL else (SOME_STATES, SOME_CALLS)
    visited(
        "pairs in bulks",
        [
            grouped_scenario(state, [[first], [second]])
            for state, (first, second) in product(states, combinations_with_replacement(names, 2))
        ],
    )


def test_cancelled_members_of_bulks():
    """The same holds where the caller of one is cancelled at any step, which is done or not."""
    states, names = (STATES, NAMES) if FULL else (("both clean",), ("update", "delete", "insert", "failed update"))
    visited(
        "cancelled members of bulks",
        [
            grouped_scenario(state, [[first], [second]], cancellations=1)
            for state, (first, second) in product(states, combinations_with_replacement(names, 2))
        ],
    )


WHOLE = pytest.mark.skipif(not FULL, reason="takes a minute; --full visits it")


@pytest.mark.parametrize(
    "writes",
    [("update", "update"), *(pytest.param(two, marks=WHOLE) for two in (("delete", "insert"), ("update", "delete")))],
    ids=", ".join,
)
def test_two_writes_in_bulks_against_a_third(writes):
    """Two writes in a row beside an update, and beside a delete: bulks of other clients come between."""
    scenarios = [grouped_scenario("both clean", [writes, [other]]) for other in ("update", "delete")]
    visited(f"{', '.join(writes)} in bulks", scenarios)


def test_bulks_keep_what_v1_cannot_express():
    """A read beside a write in a bulk never drops a field that only V2 has."""
    scenarios = [
        grouped_scenario(state, [["note"], [reader]], noted_scenario, KEEPING)
        for state in ("both clean", "neither")
        for reader in ("get", "list")
    ]
    visited("notes in bulks", scenarios)


def test_deletes_in_bulks_beside_clients_that_announce_nothing():
    """A delete that shares its statement never counts one as its own that V2 shows no trace of."""
    visited(
        "deletes in bulks beside unannounced ones",
        [
            *(beside_a_program(["delete"], [other]) for other in ("outside delete", "outside")),
            *(beside_a_process_without_v2([one], ["delete"]) for one in ("delete", "V1 delete", "update")),
        ],
    )


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_mutant_of_bulks_is_killed(mutant, monkeypatch):
    """The scenario is sound as the bulks stand, and has a counter-example once the guard is taken away."""
    check_killed(mutant, monkeypatch)
