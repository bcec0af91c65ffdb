"""The calls of lazymig's clients at both doors, and of programs that write the same documents without lazymig.

Each field of an entity is judged by itself, because a program that writes another field has an order of its own.
"""

from collections import Counter

from attrs import evolve, frozen

from lazymig import Criteria, Repository
from lazymig.repository import calls_of
from lazymig.stores.scans import Scan
from lazymig.sweeping.in_place.moving import PlaceMover
from lazymig.testing.explore import Call
from lazymig.testing.linearizability import Outcome
from lazymig.testing.memory_collection import MemoryCollection
from tests.by_field import by_field as by_fields
from tests.by_field import kept, split_by
from tests.interleaving.in_place.people import FIELDS, NOBODY, PersonV2, to_v1, v1_part, value_of
from tests.interleaving.subject import ID, Count

TALLIES = Criteria(v1={"count.tally": {"$gte": 0}}, v2={"tally": {"$gte": 0}})
BY_TALLY = ("count.tally", "tally")


@frozen
class SideBySide:
    """What the calls are made on: a repository for each client's phase, and the collection that all of them share."""

    sides: tuple[Repository, ...]
    store: MemoryCollection


# ---- fields ---------------------------------------------------------------------------------------------------------


def fields(**changes):
    """What a write does to each field: a function from its value, or its new value."""
    return tuple(changes.get(name, kept) for name in FIELDS)


split = split_by(FIELDS)


def by_field(value):
    """An entity's value by field, as histories name them."""
    return by_fields(ID, value, FIELDS)


# ---- lazymig's clients ----------------------------------------------------------------------------------------------


async def found(listing):
    """The values of a listing, by field."""
    values = [value_of(entity) async for entity in listing]
    return by_field(values[0] if values else None)


async def found_many(answers):
    """The values of a read of many."""
    return by_field(value_of((await answers).get(ID)))


def calls(amount, side=0):
    """Every call of both doors by the client of one side, by name; `amount` makes each client's writes differ."""
    v2 = PersonV2(ID, f"New{amount}", "Name", amount, f"{amount}@x")
    v1, written = to_v1(v2), value_of(v2)

    def raising(entity):
        return evolve(entity, tally=entity.tally + amount)

    def counting(entity):
        return evolve(entity, count=Count(entity.count.tally + amount))

    def noting(entity):
        return evolve(entity, note=f"{entity.note}{amount}")

    raised = fields(tally=lambda value: value + amount)
    v2_door, v1_door = (lambda s: s.sides[side]), (lambda s: s.sides[side].v1)
    rename = fields(name=f"Re{amount} Named")
    return {
        "get": Call("get", lambda s: v2_door(s).get(ID), ID, observe=value_of),
        "get many": Call("list", lambda s: found_many(v2_door(s).get_many([ID]))),
        "list": Call("list", lambda s: found(v2_door(s).list())),
        "list by": Call("list", lambda s: found(v2_door(s).list(TALLIES, sort=BY_TALLY))),
        "insert": Call("insert", lambda s: v2_door(s).insert(v2), ID, written, value_of),
        "update": Call("update", lambda s: v2_door(s).update(ID, raising), ID, raised, value_of),
        "note": Call(
            "update", lambda s: v2_door(s).update(ID, noting), ID, fields(note=lambda note: f"{note}{amount}"), value_of
        ),
        "rename": Call(
            "update", lambda s: v2_door(s).update(ID, lambda one: evolve(one, first=f"Re{amount}", last="Named")), ID,
            rename, value_of,
        ),
        "mail": Call(
            "update", lambda s: v2_door(s).update(ID, lambda one: evolve(one, email=f"{one.email}{amount}")), ID,
            fields(email=lambda email: f"{email}{amount}"), value_of,
        ),
        "replace": Call("replace", lambda s: v2_door(s).replace(v2), ID, written, value_of),
        "delete": Call("delete", lambda s: v2_door(s).delete(ID), ID, observe=done),
        "V1 get": Call("get", lambda s: v1_door(s).get(ID), ID, observe=value_of),
        "V1 get many": Call("list", lambda s: found_many(v1_door(s).get_many([ID]))),
        "V1 list": Call("list", lambda s: found(v1_door(s).list())),
        "V1 insert": Call("insert", lambda s: v1_door(s).insert(v1), ID, (*written[:-1], ""), value_of),
        "V1 update": Call("update", lambda s: v1_door(s).update(ID, counting), ID, raised, value_of),
        "V1 replace": Call("update", lambda s: v1_door(s).replace(v1), ID, (*written[:-1], kept), value_of),
        "V1 delete": Call("delete", lambda s: v1_door(s).delete(ID), ID, observe=done),
    }  # fmt: skip


def done(_result):
    """A delete has no value."""
    return Outcome.DONE


async def sweep(s, side):
    """One page of a sweep: its own parts, without leases and tasks."""
    place = calls_of(s.sides[side]).place
    mover = PlaceMover(place, None, Counter(), dry_run=False)
    await mover.move(await Scan(place.store, majority=True).find_whole({}, 10))


READS = ("get", "get many", "list", "list by", "V1 get", "V1 get many", "V1 list")
NAMES = tuple(calls(0))
WRITES = tuple(name for name in NAMES if name not in READS)
#: Without those that lead through the same statements.
SOME = ("get", "list by", "insert", "update", "note", "replace", "delete", "V1 update", "V1 replace")


# ---- programs that know nothing of lazymig --------------------------------------------------------------------------


async def matched(statement):
    """The outcome of an update or a delete."""
    result = await statement
    count = result.deleted_count if hasattr(result, "deleted_count") else result.matched_count
    return Outcome.DONE if count else Outcome.NOT_FOUND


def _set(**change):
    return lambda s: matched(s.store.update_one({"_id": ID}, {"$set": change}))


async def _put_back(s, amount):
    """Read the whole document, change a field, and store the whole: with lazymig's own field as it was read."""
    read = await s.store.find_one({"_id": ID})
    if read is None:
        return Outcome.NOT_FOUND
    return await matched(s.store.replace_one({"_id": ID}, {**read, "name": f"Back{amount} Back"}))


def outsiders(amount):
    """Statements of other programs, by name."""
    new = v1_part(f"Out{amount} Side", amount, f"{amount}@z")
    del new["legacy"], new["count"]["legacy"]
    whole = (new["name"], amount, new["email"], "")
    return {
        "out name": Call("update", _set(name=new["name"]), ID, fields(name=new["name"])),
        "out tally": Call(
            "update", lambda s: matched(s.store.update_one({"_id": ID}, {"$inc": {"count.tally": amount}})), ID,
            fields(tally=lambda value: value + amount),
        ),
        "out mail": Call("update", _set(email=new["email"]), ID, fields(email=new["email"])),
        "out unset": Call(
            "update", lambda s: matched(s.store.update_one({"_id": ID}, {"$unset": {"email": ""}})), ID,
            fields(email=NOBODY),
        ),
        "out null": Call("update", _set(email=None), ID, fields(email="None")),
        "out list": Call("update", _set(email=["a@x", new["email"]]), ID, fields(email=str(["a@x", new["email"]]))),
        "out delete": Call("delete", lambda s: matched(s.store.delete_one({"_id": ID})), ID),
        "out insert": Call("insert", lambda s: s.store.insert_one({"_id": ID, **new}), ID, whole, done),
        "out replace": Call("replace", lambda s: matched(s.store.replace_one({"_id": ID}, new)), ID, whole),
    }  # fmt: skip


OUTSIDE = tuple(outsiders(0))


async def _until_alone(s, change):
    """What another program writes counts until lazymig's first write of V2's part alone."""
    where = {"_id": ID, "_lazymig.alone": {"$exists": False}}
    result = await s.store.update_one(where, {"$set": change})
    return Outcome.DONE if result.matched_count else Outcome.UNCERTAIN


def last_outsider(amount):
    """Another program that writes until V1's part counts no more; after that, it writes nothing that is judged."""
    name = f"Out{amount} Side"
    return Call("update", lambda s: _until_alone(s, {"name": name}), ID, fields(name=name))
