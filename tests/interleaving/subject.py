"""What the explorations run: the real repository, its V1 view and the sweep, from every state that V1 and V2 can be in.

An entity's value, to the checks, is what both shapes can express; `noted` scenarios also judge V2's own field.
"""

from collections import Counter
from contextlib import suppress
from datetime import timedelta

import attrs
from attrs import evolve, frozen

import lazymig
from lazymig import protocol
from lazymig.errors import AlreadyExists, NotFound
from lazymig.repository import calls_of
from lazymig.stores.records import Partition
from lazymig.sweeping.marks import resolve_marks
from lazymig.sweeping.moving import Mover
from lazymig.sweeping.remainder import Remainder
from lazymig.testing.explore import (
    Call,
    FixedClock,
    Scenario,
    World,
    any_dirty,
    clean_is_current,
    dirty_is_marked,
)
from lazymig.testing.linearizability import Outcome
from lazymig.testing.memory_collection import MemoryCollection

ID = 1
CLOCK = FixedClock()
OLD = CLOCK.now() - timedelta(hours=2)
GRACE = timedelta(hours=1)


@frozen
class Count:
    """A sub-document."""

    tally: int


@frozen
class PersonV1:
    """One name, and a count."""

    id: int
    name: str
    count: Count


@frozen
class PersonV2:
    """Two names, a count, and a note that V1 cannot express."""

    id: int
    first: str
    last: str
    tally: int
    note: str = ""


def to_v2(v1):
    """Split the name."""
    first, _, last = v1.name.partition(" ")
    return PersonV2(v1.id, first, last, v1.count.tally)


def to_v2_keeping(v1, previous):
    """Split the name, and keep the note that V2 held."""
    return evolve(to_v2(v1), note=previous.note if previous else "")


def to_v1(v2):
    """Join the names."""
    return PersonV1(v2.id, f"{v2.first} {v2.last}", Count(v2.tally))


MIGRATION = lazymig.Migration(name="people", v1=PersonV1, v2=PersonV2, upgrade=to_v2, downgrade=to_v1)
KEEPING = evolve(MIGRATION, upgrade=to_v2_keeping)


def v1_document(revision=None, name="Ada Ada", tally=0):
    """V1's document; `legacy` is a field that lazymig does not know of, at the top and in the sub-document."""
    meta = {} if revision is None else {"_lazymig_rev": revision}
    return {"_id": ID, "name": name, "count": {"tally": tally, "legacy": 1}, "legacy": 1, **meta}


def v2_document(revision, intent, at=None, name="Ada Ada", tally=0, note=""):
    """V2's live document."""
    first, _, last = name.partition(" ")
    mark = {} if at is None else {"at": at}
    meta = {"rev": revision, "intent": intent, **mark}
    return {"_id": ID, "first": first, "last": last, "tally": tally, "note": note, "_lazymig": meta}


def gone(revision, intent):
    """V2's tombstone or placeholder."""
    return {"_id": ID, "_lazymig": {"rev": revision, "intent": intent, "gone": True, "at": OLD}}


STATES = {
    "neither": ((), ()),
    "V1 only, without a revision": ((v1_document(),), ()),
    "V1 only": ((v1_document(3),), ()),
    "both clean": ((v1_document(2),), (v2_document(2, 2, note="n"),)),
    "dirty before V1's step": ((v1_document(2),), (v2_document(2, 3, OLD, note="n"),)),
    "dirty after V1's step": ((v1_document(3, tally=5),), (v2_document(2, 3, OLD, note="n"),)),
    "tombstone": ((), (gone(3, 3),)),
    "placeholder with V1": ((v1_document(1),), (gone(-1, 1),)),
    "placeholder behind V1": ((v1_document(5),), (gone(-1, 1),)),
    "placeholder without V1": ((), (gone(-1, 1),)),
    "deleted half way": ((), (v2_document(2, 3, OLD),)),
}


@frozen
class Subject:
    """What calls are made on."""

    repository: lazymig.Repository
    v1: MemoryCollection
    v2: MemoryCollection


def opened(migration, v1, v2, clock, **changed):
    """A repository as the explorer drives it: without tasks and timers."""
    options = {"phase": lazymig.Phase.COEXIST, "coalesce": False, "timeout_s": None, "clock": clock}
    return lazymig.Repository(migration, v1=v1, v2=v2, **options | changed)


def setup(state, migration=MIGRATION, subject=None, clock=None, **options):
    """A function that gives the world of one starting state, the same one set back for every run.

    The state is a name, or the documents of V1 and V2. `subject(v1, v2, clock)` makes what calls are made on.
    """
    documents = STATES[state] if isinstance(state, str) else state
    v1, v2 = (MemoryCollection(name, some) for name, some in zip(("V1", "V2"), documents, strict=True))
    clock = clock or FixedClock()
    made = subject(v1, v2, clock) if subject else Subject(opened(migration, v1, v2, clock, **options), v1, v2)
    return set_back_for_each_run(World((v1, v2), made), clock)


def set_back_for_each_run(world, clock):
    """A function that gives this world as it is now, with the gate of a run."""
    snapshots = [store.snapshot() for store in world.stores]

    # Building a repository takes as long as a run of many steps, and it holds nothing of the entities.
    def set_back(gate):
        for store, snapshot in zip(world.stores, snapshots, strict=True):
            store.restore(snapshot)
            store.gate = gate
        clock.gate = gate
        return world

    return set_back


# ---- values ---------------------------------------------------------------------------------------------------------


def common(entity):
    """What both shapes express of an entity of either."""
    if entity is None:
        return None
    v1 = entity if isinstance(entity, PersonV1) else to_v1(entity)
    return (v1.name, v1.count.tally)


def noted(entity):
    """The whole of a V2 entity."""
    return None if entity is None else attrs.astuple(entity)[1:]


def truth(world):
    """V1's content."""
    document = world.stores[0].stored(ID)
    return {ID: None if document is None else (document["name"], document["count"]["tally"])}


async def read_afterwards(subject):
    """What a V2-first read answers, and answers again once it has repaired what it met."""
    first = common(await subject.repository.get(ID))
    assert common(await subject.repository.get(ID)) == first, "two reads in a row differ"
    assert common(await subject.repository.v1.get(ID)) == first, "the two doors differ"
    return {ID: first}


# ---- calls ----------------------------------------------------------------------------------------------------------


async def found(listing):
    """The values of a listing."""
    return {entity.id: common(entity) async for entity in listing}


def all_common(entities):
    """The values of entities by id."""
    return {id: common(entity) for id, entity in entities.items()}


async def sweep(subject):
    """One pass over what V2 lacks, then over the marks: the sweeper's own parts, without its leases and tasks."""
    pair, counts = calls_of(subject.repository).pair, Counter()
    mover = Mover(pair, None, counts, dry_run=False)
    remainder = Remainder(pair.v1, pair.bodies, Partition("int", None, None), None, 10)
    async for page in remainder.pages():
        if page.whole:
            await mover.move(page.missing, CLOCK.monotonic())
            continue
        async for documents in remainder.read_whole(page.missing):
            await mover.move(documents, CLOCK.monotonic())
    await resolve_marks(pair, mover, counts, GRACE)


async def purge(subject):
    """Remove every old remainder of a delete."""
    pair = calls_of(subject.repository).pair
    for seen in await pair.ledger.marks(CLOCK.now(), 10, None):
        await protocol.purge(pair, seen, GRACE)


async def heal(subject):
    """Move the entity to a fresh revision."""
    await protocol.heal(calls_of(subject.repository).pair, ID)


class Refused(Exception):
    """What a user's own change may raise."""


async def failed_update(subject):
    """An update whose change raises: nothing is written."""

    def refuse(_entity):
        raise Refused

    with suppress(Refused, NotFound):
        await subject.repository.update(ID, refuse)


def calls(amount):
    """Every call, by name; what it writes depends on `amount`, so that two clients' writes differ."""
    name = f"New{amount} Name"

    def raised(value):
        return (value[0], value[1] + amount)

    def raise_tally(entity):
        return evolve(entity, tally=entity.tally + amount)

    def raise_count(entity):
        return evolve(entity, count=Count(entity.count.tally + amount))

    v2, v1 = PersonV2(ID, f"New{amount}", "Name", amount), PersonV1(ID, name, Count(amount))
    written = (name, amount)
    return {
        "get": Call("get", lambda s: s.repository.get(ID), ID, observe=common),
        "insert": Call("insert", lambda s: s.repository.insert(v2), ID, written, common),
        "update": Call("update", lambda s: s.repository.update(ID, raise_tally), ID, raised, common),
        "replace": Call("replace", lambda s: s.repository.replace(v2), ID, written, common),
        "delete": Call("delete", lambda s: s.repository.delete(ID), ID, observe=done),
        "get many": Call("list", lambda s: s.repository.get_many([ID]), observe=all_common),
        "list": Call("list", lambda s: found(s.repository.list())),
        "sweep": Call("sweep", sweep),
        "heal": Call("heal", heal),
        "failed update": Call("failed update", failed_update),
        "purge": Call("purge", purge),
        "V1 get": Call("get", lambda s: s.repository.v1.get(ID), ID, observe=common),
        "V1 get many": Call("list", lambda s: s.repository.v1.get_many([ID]), observe=all_common),
        "V1 list": Call("list", lambda s: found(s.repository.v1.list())),
        "V1 insert": Call("insert", lambda s: s.repository.v1.insert(v1), ID, written, common),
        "V1 update": Call("update", lambda s: s.repository.v1.update(ID, raise_count), ID, raised, common),
        "V1 replace": Call("replace", lambda s: s.repository.v1.replace(v1), ID, written, common),
        "V1 delete": Call("delete", lambda s: s.repository.v1.delete(ID), ID, observe=done),
    }


def done(_result):
    """A delete has no value."""
    return Outcome.DONE


NAMES = tuple(calls(0))
WRITES = tuple(name for name, call in calls(0).items() if call.name in ("insert", "update", "replace", "delete"))


# ---- checks ---------------------------------------------------------------------------------------------------------


def same_content(v1, v2):
    """Whether the two documents say the same."""
    return v1["name"] == f"{v2['first']} {v2['last']}" and v1["count"]["tally"] == v2["tally"]


def clean_is_v1(world):
    """A clean V2 document is V1's current revision."""
    return clean_is_current(world.stores[0].documents(), world.stores[1].documents(), same_content)


def gone_has_no_body(world):
    """What is gone holds nothing of the entity."""
    for document in world.stores[1].documents():
        if document["_lazymig"].get("gone") and set(document) != {"_id", "_lazymig"}:
            return "V2 keeps the body of an entity that is gone"
    return None


def marked(world):
    """Whatever is dirty or gone carries the mark by which a sweep finds it."""
    return dirty_is_marked(world.stores[1].documents())


def legacy_stays(world):
    """A field that lazymig does not know of survives every update, in a sub-document too."""
    document = world.stores[0].stored(ID)
    if document is None or document["name"] != "Ada Ada" or ("legacy" in document and "legacy" in document["count"]):
        return None
    return "V1 lost a field that lazymig does not know of"


INVARIANTS = {
    "clean is V1": clean_is_v1,
    "gone has no body": gone_has_no_body,
    "unknown fields": legacy_stays,
    "marked": marked,
}


def numbered(make, clients):
    """The calls of each client, each with an amount of its own."""
    return {
        client: [make(10 ** (2 * index + position))[name] for position, name in enumerate(names)]
        for index, (client, names) in enumerate(zip("ABC", clients, strict=False))
    }


def scenario(state, clients, make=calls, **changes):
    """Clients by lists of call names, from one starting state."""
    made = numbered(make, clients)
    told = " | ".join(", ".join(names) for names in clients)
    changes.setdefault("setup", None)
    defaults = {
        "truth": truth, "afterwards": read_afterwards, "invariants": INVARIANTS, "resumes": changes["setup"] is None,
    }  # fmt: skip
    return Scenario(
        name=f"{told} from {state}",
        clients=made,
        is_dirty=lambda world: any_dirty(world.stores[1].documents()),
        outcomes={AlreadyExists: Outcome.ALREADY_EXISTS, NotFound: Outcome.NOT_FOUND},
        **{**defaults, **changes, "setup": changes["setup"] or setup(state)},
    )


# ---- what V1 cannot express -----------------------------------------------------------------------------------------


def noted_truth(world):
    """V1's entity, with the note of V2's body where that was made from V1's revision or an upgrade keeps it."""
    v1, v2 = (store.stored(ID) for store in world.stores)
    if v1 is None:
        return {ID: None}
    held = v2 is not None and not v2["_lazymig"].get("gone")
    if world.subject.repository.migration.upgrade is not to_v2_keeping:
        held = held and v2["_lazymig"]["rev"] == v1.get("_lazymig_rev", 0)
    first, _, last = v1["name"].partition(" ")
    return {ID: (first, last, v1["count"]["tally"], v2["note"] if held else "")}


async def read_noted(subject):
    """What a read answers."""
    return {ID: noted(await subject.repository.get(ID))}


async def found_noted(listing):
    """The whole entities of a listing."""
    return {entity.id: noted(entity) async for entity in listing}


async def many_noted(answers):
    """The whole entities of a read of many."""
    return {id: noted(entity) for id, entity in (await answers).items()}


def noted_calls(amount):
    """The calls of V2's door, with the whole entity for their value; an update changes either the note or the rest."""

    def noting(entity):
        return evolve(entity, note=f"{entity.note}{amount}")

    def raising(entity):
        return evolve(entity, tally=entity.tally + amount)

    def on_value(change):
        return lambda value: noted(change(PersonV2(ID, *value)))

    return {
        "get": Call("get", lambda s: s.repository.get(ID), ID, observe=noted),
        "note": Call("update", lambda s: s.repository.update(ID, noting), ID, on_value(noting), noted),
        "update": Call("update", lambda s: s.repository.update(ID, raising), ID, on_value(raising), noted),
        "list": Call("list", lambda s: found_noted(s.repository.list())),
        "get many": Call("list", lambda s: many_noted(s.repository.get_many([ID]))),
        "sweep": Call("sweep", sweep),
        "heal": Call("heal", heal),
    }


def noted_scenario(state, clients, migration=KEEPING, make=noted_calls, **further):
    """Clients by lists of call names, judged by the whole of V2's entity, while nobody dies.

    What V1 cannot express has no other home than V2's body, so a writer that dies before it stores that body loses it.
    """
    changes = {
        "setup": setup(state, migration), "truth": noted_truth, "afterwards": read_noted, "crashes": False,
        "resumes": True,
    }  # fmt: skip
    return scenario(state, clients, make=make, **changes | further)
