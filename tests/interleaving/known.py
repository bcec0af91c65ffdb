"""Bodies that replace what a writer knows of V2's document, where inserts are announced and taken back meanwhile.

The statement looks at the intent and not at the inserts that are remembered. Here it does, and where it would drop one
that its writer does not know of, it leaves a document that no other statement leaves.
"""

from attrs import evolve

from lazymig.errors import AlreadyExists
from lazymig.protocol import inserting, tickets
from lazymig.repository import calls_of
from lazymig.stores import ledger, mongo_v2
from lazymig.testing.explore import Call
from tests.interleaving import lives
from tests.interleaving.mutants import MARK, Mutant
from tests.interleaving.phases_side_by_side import V2_PRIMARY
from tests.interleaving.phases_side_by_side import scenario as phases_scenario
from tests.interleaving.subject import ID

LOST = -7
STATES = ("placeholder with V1", "an insert in doubt", "tombstone", "both clean")


def _watched(build):
    def watching(*arguments):
        made, announced = build(*arguments), arguments[-1]
        # An insert that has buried a dead delete says nothing of the document: what it drops is its own.
        if made is None or not announced.document:
            return made
        condition, replacement, root = made[0]["$replaceWith"]["$cond"]
        forgotten = {"$eq": [{"$ifNull": [f"${MARK}.inserts", []]}, []]}
        lost = {MARK: {"rev": LOST, "intent": LOST, "gone": True}}
        return [{"$replaceWith": {"$cond": [condition, {"$cond": [forgotten, replacement, lost]}, root]}}]

    return watching


def watch(monkeypatch):
    """From now on a statement that would drop a remembered insert shows that."""
    for name in ("build_replacement", "build_known_tombstone"):
        monkeypatch.setattr(mongo_v2, name, _watched(getattr(mongo_v2, name)))


def nothing_lost(world):
    """No insert that is remembered was dropped by a writer that does not know of it."""
    lost = any(document[MARK]["rev"] == LOST for document in world.stores[1].documents())
    return "a remembered insert was dropped" if lost else None


async def refused_insert(s):
    """An insert that V1 refuses: it takes its announcement back."""
    pair = calls_of(s.repository).pair
    try:
        announced, step = await inserting.announce(pair, ID)
    except AlreadyExists:
        return
    await tickets.withdraw(pair, announced, step)


def calls(amount):
    """The calls of lives, and an insert that V1 refuses."""
    return {**lives.calls(amount), "refused insert": Call("refused insert", refused_insert)}


def scenario(state, clients):
    """Clients by lists of call names, from a state of lives."""
    made = lives.scenario(state, clients, make=calls, crashes=False)
    return evolve(made, invariants={"kept": nothing_lost}, afterwards=None)


def lasting_insert(monkeypatch):
    """A withdrawal leaves its insert remembered."""
    build = ledger.build_withdrawal

    def careless(*arguments):
        made = build(*arguments)
        made[0]["$replaceWith"]["$mergeObjects"][1][MARK]["inserts"] = f"${MARK}.inserts"
        return made

    monkeypatch.setattr(ledger, "build_withdrawal", careless)


def unknown_revision(monkeypatch):
    """A delete buries a document with its announcement, at whatever revision that is."""
    build = mongo_v2.build_known_tombstone

    def careless(*arguments):
        made = build(*arguments)
        if made is not None:
            standing, known = made[0]["$replaceWith"]["$cond"][0]["$eq"]
            del standing[0], known["$literal"][0]
        return made

    monkeypatch.setattr(mongo_v2, "build_known_tombstone", careless)


LASTING = Mutant(
    "a withdrawn insert stays remembered",
    lasting_insert,
    lambda: scenario("placeholder with V1", [["update"], ["refused insert"]]),
)
# V1 deletes by the higher ticket first. V2 is not behind the delete's announcement, and what it holds is a new entity.
BURIED = Mutant(
    "a tombstone for the entity after",
    unknown_revision,
    lambda: phases_scenario((V2_PRIMARY, V2_PRIMARY), "placeholder with V1", [["delete"], ["insert"]], crashes=False),
)
