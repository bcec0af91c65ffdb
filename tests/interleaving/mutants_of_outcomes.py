"""The steps about entities without a body with one guard taken away, each under a name that says which."""

from lazymig.protocol import edits, replacing, v2_listing
from lazymig.protocol.replacing import ReplaceV2, Supply
from lazymig.shapes.conversions import Conversions
from lazymig.stores import ledger, mongo_v2
from lazymig.stores.mongo_v2 import V2Store
from lazymig.stores.records import StoredV2, Unmoved
from tests.interleaving.mutants import MARK, Mutant
from tests.interleaving.outcomes import V2_PRIMARY, noted_scenario, scenario, side_by_side


def lasting_reason(monkeypatch):
    """What was decided about one revision of V1 stands for those after it."""
    monkeypatch.setattr(Conversions, "decided", lambda _, seen, truth: None if seen is None else seen.unmoved)


def standing_body(monkeypatch):
    """The body before stays where V1's new revision has none."""
    applied = mongo_v2.build_apply

    def kept(body, revision, since, conv):
        if not isinstance(body, Unmoved):
            return applied(body, revision, since, conv)
        meta = {"rev": revision, "intent": {"$max": [f"${MARK}.intent", revision]}, "gone": f"${MARK}.gone"}
        return [{"$replaceWith": {"$mergeObjects": ["$$ROOT", {MARK: meta}]}}]

    monkeypatch.setattr(mongo_v2, "build_apply", kept)


def vacant_place(monkeypatch):
    """An insert takes what has no body for a vacancy."""
    transformed = V2Store._transformed

    async def unguarded(store, where, update):
        return await transformed(store, {name: where[name] for name in where if "unmoved" not in name}, update)

    monkeypatch.setattr(V2Store, "_transformed", unguarded)


def forgetful_withdrawal(monkeypatch):
    """A withdrawal drops why there is no body, and the body before."""
    built = ledger.build_withdrawal

    def without(ticket, before):
        (stage,) = built(ticket, before)
        root, meta = stage["$replaceWith"]["$mergeObjects"]
        rest = {name: meta[MARK][name] for name in meta[MARK] if name not in ("unmoved", "reason", "kept")}
        return [{"$replaceWith": {"$mergeObjects": [root, {MARK: rest}]}}]

    monkeypatch.setattr(ledger, "build_withdrawal", without)


def forgetful_wait(monkeypatch):
    """Nothing of the body before is kept while an entity waits."""
    monkeypatch.setattr(StoredV2, "with_kept_body", lambda stored: stored)


def careless_supply(monkeypatch):
    """What is supplied replaces whatever stands."""
    monkeypatch.setattr(Supply, "decide", ReplaceV2.decide)
    monkeypatch.setattr(Supply, "_check", ReplaceV2._check)


def known_to_all(monkeypatch):
    """V2's door replaces and deletes entities that are left."""

    async def anything(conversions, base):
        return None

    monkeypatch.setattr(edits, "check_known", anything)
    monkeypatch.setattr(replacing, "check_known", anything)


def counted_waits(monkeypatch):
    """A count by V2 asks V1 for what has no body while a write is announced."""
    differs = v2_listing._differs

    def guardless(truth, seen):
        return differs(truth, seen._replace(unmoved=None))

    monkeypatch.setattr(v2_listing, "_differs", guardless)


TWICE = (V2_PRIMARY, V2_PRIMARY)
MUTANTS = (
    Mutant("a decision outlasts its revision", lasting_reason,
           lambda: scenario("left before V1's step", [["get"], ["update"]])),
    Mutant("the body before stays", standing_body, lambda: scenario("both clean", [["leave"], ["get"]])),
    Mutant("an insert takes the place of a waiting entity", vacant_place,
           lambda: noted_scenario([["wait", "convert"], ["insert"]]), visible=False),
    Mutant("a withdrawal forgets the body before", forgetful_withdrawal,
           lambda: noted_scenario([["wait"], ["update"]]), visible=False),
    Mutant("a waiting entity forgets the body before", forgetful_wait,
           lambda: noted_scenario([["wait", "convert"], ["get"]]), visible=False),
    Mutant("supplied over somebody else's entity", careless_supply,
           lambda: scenario("waiting", [["supply"], ["replace"]])),
    Mutant("V2's door knows what is left", known_to_all, lambda: scenario("left", [["replace"], ["delete"]])),
    Mutant("counted while a write is announced", counted_waits,
           lambda: side_by_side(TWICE, "left, announced", [["count by V2"], ["V1 get"]])),
)  # fmt: skip
