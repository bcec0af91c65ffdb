"""Repairs of a V2 part that is wrong although its fingerprint fits, beside clients and other programs."""

from attrs import evolve

from lazymig.protocol.in_place import repairing
from lazymig.protocol.in_place.repairing import repair
from lazymig.repository import calls_of
from lazymig.stores.mongo_wholes import WholeStore
from lazymig.stores.records import Filled
from lazymig.testing.explore import Call
from tests.interleaving.in_place.clients import split
from tests.interleaving.in_place.people import truth_of, v2_part, whole
from tests.interleaving.in_place.scenarios import COEXIST, scenario, trusted_is_v1
from tests.interleaving.mutants import Mutant
from tests.interleaving.subject import ID

#: What another document holds: V1's tally as it was when the repair was over.
SEEN = -1
NOTE = (ID, "note")
WRONG = 7_000


def damaged(layout):
    """A document whose V2 part is wrong, and claims to be of V1's part as it stands."""
    return whole(layout, v2=v2_part(layout, tally=WRONG, note="n"))


async def _repair(s):
    """Repair, and keep what V1's part says then."""
    place = calls_of(s.sides[0]).place
    if not await repair(place, ID):
        return
    document = await s.store.find_one({"_id": ID})
    if document is not None:
        await s.store.insert_one({"_id": SEEN, "count": document["count"]})


def _check(layout, steps):
    """Once all is over: both parts agree, and nothing that began from the wrong part came after the repair."""
    agree = trusted_is_v1(layout)

    async def afterwards(s):
        document, seen = await s.store.find_one({"_id": ID}), await s.store.find_one({"_id": SEEN})
        held = {NOTE: None if document is None else truth_of(layout, document)[-1]}
        if document is None or seen is None:
            return held
        wrong = agree(_World(document))
        assert wrong is None, wrong
        later = truth_of(layout, document)[1] - seen["count"]["tally"]
        assert steps is None or later in steps, f"a write that began before the repair came after it, and added {later}"
        return held

    return afterwards


class _World:
    """What an invariant looks at, made of one document."""

    def __init__(self, document):
        self.stores = (self,)
        self._document = document

    def stored(self, _id):
        return self._document


def beside(names, layout="flat"):
    """A repair beside these calls of one client. What V2 alone holds is judged as in any history, since it is right."""
    made = scenario((COEXIST, COEXIST), damaged(layout), (["get"], names), layout)
    raised = [10 ** (2 + place) for place, name in enumerate(names) if "update" in name or "tally" in name]
    steps = None if any("replace" in name for name in names) else {sum(part) for part in _subsets(raised)}

    def note(world):
        value = truth_of(layout, world.stores[0].stored(ID))
        return {NOTE: None if value is None else value[-1]}

    def notes(operation):
        return [one for one in split(operation) if one.entity == NOTE]

    return evolve(
        made, clients={**made.clients, "A": [Call("repair", _repair)]}, invariants={}, truth=note, split=notes,
        afterwards=_check(layout, steps),
    )  # fmt: skip


def _subsets(values):
    found = [()]
    for value in values:
        found += [(*some, value) for some in found]
    return found


# ---- mutants --------------------------------------------------------------------------------------------------------


def keeps_the_revision(monkeypatch):
    """A repair leaves the revision as it is."""
    monkeypatch.setattr(
        repairing, "evolve", lambda change, meta: evolve(change, meta={**meta, "rev": change.seen.revision})
    )


def unguarded(monkeypatch):
    """A repair stores over whatever stands."""

    async def anyhow(store, changes, *, durable=False):
        for change in changes:
            where = {"_id": change.seen.id}
            update = {"$set": {**change.changed, "_lazymig": change.meta}}
            await store.collection.update_one(where, update)
        return Filled(len(changes), {})

    monkeypatch.setattr(WholeStore, "fill_each", anyhow)


MUTANTS = (
    Mutant("a repair keeps the revision", keeps_the_revision, lambda: beside(["update"])),
    Mutant("a repair is not guarded", unguarded, lambda: beside(["note"])),
)
