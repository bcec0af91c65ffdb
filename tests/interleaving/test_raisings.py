"""Nothing that V2 holds from an earlier attempt is trusted once all intents are raised, whatever crosses the raise."""

import pytest

from lazymig.stores.ledger import MongoLedger
from tests.interleaving.mutants import Mutant
from tests.interleaving.phases_side_by_side import PREPARE, SHADOW, UNTRUSTED, names_of
from tests.interleaving.raisings import scenario
from tests.interleaving.running import check_killed, check_shown, visited
from tests.widening import WIDENING

FULL = WIDENING.full
STATES = tuple(UNTRUSTED) if FULL else ("outdated V2", "V2 of a deleted entity", "outdated V2, announced")
EARLY = names_of(PREPARE) if FULL else ("insert", "update", "delete", "failed update")
LATER = names_of(SHADOW) if FULL else ("get", "insert", "update")


@pytest.mark.parametrize("state", STATES)
def test_raised_beside_a_client_in_prepare(state):
    """Even if a client dies, V1 answers for all that V2 held, in `shadow` and later."""
    visited("the raise", [scenario(state, [[early], [later]]) for early in EARLY for later in LATER])


def left_out(monkeypatch):
    """The raise leaves a document out."""

    async def raise_others(store, ids):
        return await raise_each(store, ids[1:])

    raise_each = MongoLedger.raise_each
    monkeypatch.setattr(MongoLedger, "raise_each", raise_others)


def unmarked(monkeypatch):
    """The raise leaves no mark, by which a sweep finds what is dirty."""

    async def raise_silently(store, ids):
        for id in ids:
            await store._durable.update_one({"_id": id}, {"$inc": {"_lazymig.intent": 1}})
        return len(ids)

    monkeypatch.setattr(MongoLedger, "raise_each", raise_silently)


MUTANTS = (
    Mutant("raise: one is left out", left_out, lambda: scenario("outdated V2", [["get"], ["get"]])),
    Mutant("raise: no mark", unmarked, lambda: scenario("outdated V2", [["get"], ["list"]]), visible=False),
)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_mutant_of_the_raise_is_killed(mutant, monkeypatch):
    """The scenario is sound as the raise stands, and has a counter-example once the guard is taken away."""
    check_killed(mutant, monkeypatch)
    if mutant.visible:
        check_shown(mutant)
