"""Entities that wait for their users, and entities that stay as they are, in documents that hold both shapes.

The classes, calls and the model of two doors are those of `outcomes.py`. Other programs rename entities, which decides
what becomes of them.
"""

from attrs import evolve, frozen

import lazymig
from lazymig import Phase
from lazymig.testing.explore import Call, FixedClock, World
from lazymig.testing.memory_collection import MemoryCollection
from tests.interleaving import outcomes, subject
from tests.interleaving.in_place.clients import matched
from tests.interleaving.in_place.people import shape_of
from tests.interleaving.in_place.scenarios import COEXIST, OUTCOMES, V2_PRIMARY
from tests.interleaving.outcomes import DECIDING, KEEPING, LEFT, WAITING, two_doors
from tests.interleaving.phases_side_by_side import SideBySide, on_side
from tests.interleaving.running import Task
from tests.interleaving.subject import ID, Subject, done, set_back_for_each_run

SHAPE = shape_of(DECIDING)


def whole(name, made_of=None, why=None, note=None, **meta):
    """A document with V1's part; `made_of`: the name about which V2's part, or that there is none, was decided."""
    v1 = {"name": name, "count": {"tally": 0, "legacy": 1}, "legacy": 1}
    decided = {"of": SHAPE.fingerprint({**v1, "name": made_of})} if made_of else {}
    reason = {"reason": "no last name"} if why == "waiting" else {}
    first, _, last = (made_of or "").partition(" ")
    v2 = {"first": first, "last": last, "tally": 0, "note": note} if note is not None else {}
    return {
        "_id": ID, **v1, **v2,
        "_lazymig": {"rev": 3, **decided, **({"unmoved": why, **reason} if why else {}), **meta},
    }  # fmt: skip


KEPT = {"kept": {"conv": 1, "body": {"first": "Ada", "last": "Ada", "tally": 0, "note": "n"}}}
STATES = {
    "none": None,
    "left, V1 only": {name: value for name, value in whole(LEFT).items() if name != "_lazymig"},
    "waiting, V1 only": {name: value for name, value in whole(WAITING).items() if name != "_lazymig"},
    "left": whole(LEFT, LEFT, "left"),
    "waiting": whole(WAITING, WAITING, "waiting"),
    "waiting, with a kept body": whole(WAITING, WAITING, "waiting", **KEPT),
    "left, and renamed since": whole("Ada Ada", LEFT, "left"),
    "waiting, and renamed since": whole("Ada Ada", WAITING, "waiting", **KEPT),
    "current": whole("Ada Ada", "Ada Ada", note="n"),
    "current, and left since": whole(LEFT, "Ada Ada", note="n"),
}
#: Where a listing by V2's fields has nothing to go by yet, or goes by what was true before.
UNSETTLED = (
    "left, V1 only",
    "waiting, V1 only",
    "left, and renamed since",
    "waiting, and renamed since",
    "current, and left since",
)


def outside(amount):
    """Other programs, which rename, delete and insert."""

    def rename(first):
        name = f"{first} {amount}"
        change = {"$set": {"name": name}}
        return Call(
            "update", lambda s: matched(s.v1.update_one({"_id": ID}, change)), ID, lambda value: (name, value[1])
        )

    def insert(first):
        document = {"_id": ID, "name": f"{first} {amount}", "count": {"tally": amount}}
        return Call("insert", lambda s: s.v1.insert_one(document), ID, (document["name"], amount), done)

    return {
        "out leave": rename("Left"),
        "out wait": rename("Wait"),
        "out convert": rename("Ada"),
        "out delete": Call("delete", lambda s: matched(s.v1.delete_one({"_id": ID})), ID),
        "out insert left": insert("Left"),
        "out insert": insert("Ada"),
    }


def calls(amount):
    """The calls of both doors, without those that only two collections have, and other programs' statements."""
    made = {
        name: call for name, call in outcomes.calls(amount).items() if name not in ("sweep", "heal", "purge", "repair")
    }
    return {**made, **outside(amount)}


OUTSIDE = tuple(outside(0))
NAMES = tuple(name for name in calls(0) if not name.startswith("out") and name != "count by V2")
SOME = ("get", "list", "insert", "update", "replace", "supply", "delete", "V1 update", "leave", "wait", "convert")


def decided_is_current(world):
    """Where it is recorded why V2 has no part, about V1's part as it stands, `upgrade` decides so."""
    document = world.stores[0].stored(ID)
    meta = {} if document is None else document.get("_lazymig", {})
    if "unmoved" not in meta or meta.get("of") != SHAPE.fingerprint(document):
        return None
    first = {"left": "Left", "waiting": "Wait"}[meta["unmoved"]]
    return None if document["name"].startswith(first) else f"it is recorded that it is {meta['unmoved']}, and it is not"


def unmoved_has_no_part(world):
    """A document of which it is recorded that V2 has no part has none, and none is lost that `upgrade` would keep."""
    document = world.stores[0].stored(ID)
    if document is None or "unmoved" not in document.get("_lazymig", {}):
        return None
    return "there are fields of V2's" if {"first", "last", "tally", "note"} & set(document) else None


INVARIANTS = {"decided is current": decided_is_current, "no part": unmoved_has_no_part}


def note_stays(world):
    """V2 holds the note in its part, or keeps it beside the reason why there is none."""
    document = world.stores[0].stored(ID)
    meta = document["_lazymig"]
    body = meta.get("kept", {}).get("body", {}) if "unmoved" in meta else document
    return None if body.get("note") == "n" else "V2 lost the note"


async def read_both(s):
    """What both sides read."""
    values = [await outcomes.read_afterwards(side) for side in s.sides]
    assert values[0] == values[1], "two phases differ"
    return values[1]


def scenario(phases, state, clients, migration=DECIDING, **changes):
    """Clients by lists of call names: the first works in the first phase, the others in the second."""
    document, clock = STATES[state], FixedClock()
    store = MemoryCollection("people", () if document is None else (document,))
    repositories = [
        lazymig.Repository.in_place(migration, store, phase=phase, coalesce=False, timeout_s=None, clock=clock)
        for phase in phases
    ]
    world = World((store,), SideBySide(tuple(Subject(one, store, store) for one in repositories)))
    defaults = {
        "setup": set_back_for_each_run(world, clock), "afterwards": read_both, "invariants": INVARIANTS,
        "resumes": True,
    }  # fmt: skip
    made = subject.scenario(state, clients, make=calls, **{**defaults, **changes})
    named = {}
    for index, ((client, some), names) in enumerate(zip(made.clients.items(), clients, strict=True)):
        side = min(index, 1)
        taken = [as_in(call, name, phases[side]) for call, name in zip(some, names, strict=True)]
        named[client] = [on_side(call, side) for call in taken]
    return evolve(
        made, name=f"{' beside '.join(phases)}: {made.name}", clients=named, model=two_doors, outcomes=OUTCOMES,
        is_dirty=None,
    )  # fmt: skip


def as_in(call, name, phase):
    """The call as this phase answers: a listing by V2's fields does not find what waits."""
    return evolve(call, name="known list") if name == "list" and phase is V2_PRIMARY else call


def note_kept(clients, state="current"):
    """From an entity with a note that only V2 holds, through calls and statements that keep it."""
    made = {**INVARIANTS, "note": note_stays}
    return scenario((COEXIST, COEXIST), state, clients, KEEPING, invariants=made)


@frozen
class UnmovedTask(Task):
    """One scenario of two phases, by values that a process can be sent."""

    phases: tuple[Phase, Phase] = (COEXIST, COEXIST)

    def scenario(self):
        """The scenario itself."""
        return scenario(self.phases, self.state, self.clients, cancellations=self.cancellations)
