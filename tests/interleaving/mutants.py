"""The protocol with one guard taken away, each under a name that says which, and where that shows.

A mutant replaces a statement of a store, or one function of the protocol, by what careless code would do instead.
"""

from collections.abc import Callable

from attrs import field, frozen

from lazymig import protocol
from lazymig.errors import NotFound
from lazymig.protocol import listed, writing
from lazymig.protocol.edits import Base
from lazymig.shapes import v1_changes
from lazymig.stores import mongo_v2 as stores
from lazymig.stores.documents import parse_v2
from lazymig.stores.mongo_v1 import V1Store
from lazymig.stores.mongo_v2 import V2Store
from lazymig.stores.records import Applied, Put, StoredV2
from lazymig.testing.explore import NOON
from tests.interleaving import given_time
from tests.interleaving.subject import MIGRATION, noted_scenario, scenario

MARK = "_lazymig"


@frozen
class Mutant:
    """One guard taken away by `spoil(monkeypatch)`, and a scenario in which that must be found."""

    name: str
    spoil: Callable
    scenario: Callable = field(repr=False)
    #: Whether a client can see it, and not only who looks into the stores.
    visible: bool = True


# ---- V2's statements ------------------------------------------------------------------------------------------------


async def peek(store, id):
    """What a ticket would have returned, without announcing anything."""
    document = await store._durable.find_one({"_id": id})
    if document is None:
        return StoredV2(id, -1, 1, True, NOON, {"_id": id})
    stored = parse_v2(document)
    return stored._replace(intent=stored.intent + 1, at=NOON)


def no_ticket(monkeypatch):
    """V1 is written unannounced."""
    monkeypatch.setattr(V2Store, "ticket", peek)


def ticket_after_v1(monkeypatch):
    """The write is announced once V1 has it."""
    moved, ticket = writing.change_v1, V2Store.ticket

    async def moved_then_announced(pair, id, *arguments):
        won = await moved(pair, id, *arguments)
        if won:
            await ticket(pair.bodies, id)
        return won

    monkeypatch.setattr(V2Store, "ticket", peek)
    monkeypatch.setattr(writing, "change_v1", moved_then_announced)


def overwriting_migration(monkeypatch):
    """The lazy migration stores over whatever stands."""

    async def put(store, id, body, revision):
        meta = {"rev": revision, "intent": revision}
        await store._quick.update_one({"_id": id}, {"$set": {**body, MARK: meta}}, upsert=True)
        return Put.STORED

    monkeypatch.setattr(V2Store, "put_if_absent", put)


def changed_pipeline(monkeypatch, change):
    """What an apply stores, altered by `change(meta, revision)`."""
    applied = stores.build_apply

    def altered(body, revision, since, conv):
        (stage,) = applied(body, revision, since, conv)
        *parts, meta = stage["$replaceWith"]["$mergeObjects"]
        return [{"$replaceWith": {"$mergeObjects": [*parts, {MARK: change(dict(meta[MARK]), revision)}]}}]

    monkeypatch.setattr(stores, "build_apply", altered)


def replacing_apply(monkeypatch):
    """The new body comes with meta data of its own."""
    changed_pipeline(monkeypatch, lambda _, revision: {"rev": revision, "intent": revision})


def lowering_apply(monkeypatch):
    """The intent is set to the revision, whatever was announced since."""
    changed_pipeline(monkeypatch, lambda meta, revision: {**meta, "intent": revision})


def eager_unmarking(monkeypatch):
    """An apply takes the mark off though a later write is announced."""
    changed_pipeline(monkeypatch, lambda meta, _: {name: meta[name] for name in meta if name != "at"})


def careless_replacement(monkeypatch):
    """A writer replaces the document that it has announced, whatever was announced since."""
    build = stores.build_replacement

    def unguarded(*arguments):
        made = build(*arguments)
        return made and [{"$replaceWith": made[0]["$replaceWith"]["$cond"][1]}]

    monkeypatch.setattr(stores, "build_replacement", unguarded)


def careless_tombstone(monkeypatch):
    """A delete buries the document that it has announced, whatever has been stored since."""
    build = stores.build_known_tombstone

    def unguarded(*arguments):
        made = build(*arguments)
        return made and [{"$replaceWith": made[0]["$replaceWith"]["$cond"][1]}]

    monkeypatch.setattr(stores, "build_known_tombstone", unguarded)


def merging_apply(monkeypatch):
    """An apply sets the fields of its body, and leaves what else stands."""
    applied = stores.build_apply

    def merged(body, revision, since, conv):
        (stage,) = applied(body, revision, since, conv)
        return [{"$replaceWith": {"$mergeObjects": ["$$ROOT", *stage["$replaceWith"]["$mergeObjects"]]}}]

    monkeypatch.setattr(stores, "build_apply", merged)


def removing_delete(monkeypatch):
    """A delete leaves no tombstone."""

    async def remove(store, id, revision, *, since=None):
        await store._quick.delete_one({"_id": id, f"{MARK}.rev": {"$lt": revision}})
        return Applied.APPLIED

    monkeypatch.setattr(V2Store, "bury", remove)


def no_raise(monkeypatch):
    """V1 moves past what V2 was told."""

    async def raise_nothing(store, id, intent):
        return None

    monkeypatch.setattr(V2Store, "raise_intent", raise_nothing)


def modest_writer(monkeypatch):
    """A writer does not put its own body over a reader's repair at the same revision."""
    apply = V2Store.apply

    async def never_own(store, id, body, revision, *, own=False, over=None, since=None, conv=None, announced=None):
        return await apply(store, id, body, revision, over=over, since=since, conv=conv)

    monkeypatch.setattr(V2Store, "apply", never_own)


def greedy_repair(monkeypatch):
    """A reader's repair goes over whatever is older than V1, and not only over the body that it was made from."""
    apply = V2Store.apply

    async def over_any(store, id, body, revision, *, own=False, over=None, since=None, conv=None, announced=None):
        if over is None:
            return await apply(store, id, body, revision, own=own, since=since, conv=conv, announced=announced)
        where = {"_id": id, f"{MARK}.rev": {"$lt": revision}}
        return await store._update(where, stores.build_apply(body, revision, revision, 1))

    monkeypatch.setattr(V2Store, "apply", over_any)


def unguarded_apply(monkeypatch):
    """An apply is stored whatever revision stands: safe, and only slower."""

    async def anyhow(store, id, body, revision, *, own=False, over=None, since=None, conv=None, announced=None):
        return await store._update({"_id": id}, stores.build_apply(body, revision, revision, 1), upsert=over is None)

    monkeypatch.setattr(V2Store, "apply", anyhow)


def careless_withdrawal(monkeypatch):
    """An announcement is taken back though others have announced since."""

    async def withdraw(store, announced, step=1, *, missing=False):
        change = {"$set": {f"{MARK}.intent": announced.revision}, "$unset": {f"{MARK}.at": ""}}
        await store._quick.update_one({"_id": announced.id, f"{MARK}.rev": announced.revision}, change)
        return True

    monkeypatch.setattr(V2Store, "withdraw", withdraw)


# ---- V1's statements ------------------------------------------------------------------------------------------------


def unguarded_delete(monkeypatch):
    """V1's document is deleted at whatever revision it is."""

    async def delete(store, id, expected):
        return bool((await store._durable.delete_one({"_id": id})).deleted_count)

    monkeypatch.setattr(V1Store, "delete", delete)


def unguarded_write(monkeypatch):
    """V1's document is written at whatever revision it is."""

    async def write(store, id, expected, revision, changed, vanished=(), within=(), held=None):
        update = {"$set": {**changed, "_lazymig_rev": revision}}
        return bool((await store._durable.update_one({"_id": id}, update)).matched_count)

    monkeypatch.setattr(V1Store, "compare_and_set", write)


def whole_sub_documents(monkeypatch):
    """A sub-document is set whole whatever changed in it."""

    def flat(before, after, stored=None):
        return {name: value for name, value in after.items() if before.get(name) != value}, [], []

    monkeypatch.setattr(v1_changes, "changes", flat)


def overwriting_insert(monkeypatch):
    """V1's insert stores over whatever stands."""

    async def insert(store, id, document, revision):
        update = {"$set": {**document, "_lazymig_rev": revision}}
        await store._durable.update_one({"_id": id}, update, upsert=True)
        return True

    monkeypatch.setattr(V1Store, "insert", insert)


# ---- decisions ------------------------------------------------------------------------------------------------------


def ignored_loss(monkeypatch):
    """A lost compare-and-set is taken for won."""
    moved = writing.change_v1

    async def always(pair, *arguments):
        await moved(pair, *arguments)
        return True

    monkeypatch.setattr(writing, "change_v1", always)


def ignored_intent(monkeypatch):
    """Whatever is live counts as clean."""
    monkeypatch.setattr(StoredV2, "clean", property(lambda stored: not stored.gone))


def ignored_ticket(monkeypatch):
    """A writer takes V2's body for current though another write was announced before its own."""
    monkeypatch.setattr(StoredV2, "clean_before_ticket", property(lambda stored: not stored.gone))


def answering_tombstone(monkeypatch):
    """A tombstone is believed without asking V1."""
    read = protocol.read

    async def believing(pair, id):
        seen = await pair.bodies.find(id)
        return None if seen is not None and seen.gone and seen.revision >= 0 else await read(pair, id)

    monkeypatch.setattr(protocol, "read", believing)


def trusting_list(monkeypatch):
    """A listing takes V2's body whatever revision it was made from."""
    monkeypatch.setattr(listed, "_holds", lambda stored, row: not stored.gone)


async def naive_store(pair, id, entity):
    """V2's body, over whatever stands."""
    change = {"$set": {**pair.conversions.v2_body(entity), MARK: {"rev": 0, "intent": 0}}}
    await pair.bodies.collection.update_one({"_id": id}, change, upsert=True)


async def naive_read(pair, id):
    """V2, or else V1, converted and stored."""
    seen = await pair.bodies.find(id)
    if seen is not None and not seen.gone:
        return pair.conversions.v2_entity(seen)
    truth = await pair.v1.find(id)
    if truth is None:
        return None
    entity = await pair.conversions.upgraded(truth, None)
    await naive_store(pair, id, entity)
    return entity


async def naive_write(pair, id, edit):
    """V1, then V2."""
    truth = await pair.v1.find(id)
    if truth is None:
        raise NotFound(id)
    change = await edit.decide(Base(None, truth))
    if change is None:
        await pair.v1.collection.delete_one({"_id": id})
        await pair.bodies.collection.delete_one({"_id": id})
        return None
    await pair.v1.collection.update_one({"_id": id}, {"$set": change.v1_set})
    await naive_store(pair, id, change.entity)
    return change


def naive(monkeypatch):
    """Write V1, then write V2; a read that misses V2 converts and stores."""
    monkeypatch.setattr(protocol, "read", naive_read)
    monkeypatch.setattr(protocol, "write", naive_write)


# ---- where each shows -----------------------------------------------------------------------------------------------


def shown(state, *clients, **changes):
    """The calls of each client, separated by commas."""
    return lambda: scenario(state, [names.split(", ") for names in clients], **changes)


def shown_by_note(state, *clients):
    """The same, judging V2's own field too, where an upgrade knows nothing of it."""
    return lambda: noted_scenario(state, [names.split(", ") for names in clients], MIGRATION)


MUTANTS = (
    Mutant("no ticket before V1", no_ticket, shown("both clean", "update", "get")),
    Mutant("ticket after V1", ticket_after_v1, shown("both clean", "update", "get")),
    Mutant("migrate with an upsert that overwrites", overwriting_migration, shown("V1 only", "get", "update")),
    Mutant("apply replaces the meta data", replacing_apply, shown("both clean", "update", "update")),
    Mutant("a body replaces what was announced since", careless_replacement, shown("both clean", "update", "update")),
    Mutant(
        "a tombstone replaces what was stored since",
        careless_tombstone,
        shown("both clean", "delete", "insert", "update"),
    ),
    Mutant("apply lowers the intent", lowering_apply, shown("both clean", "update", "update")),
    Mutant("delete without a tombstone", removing_delete, shown("V1 only", "get", "delete")),
    Mutant("delete without V1's revision", unguarded_delete, shown("both clean", "delete", "update")),
    Mutant("V1 written without compare-and-set", unguarded_write, shown("both clean", "update", "update")),
    Mutant(
        "a sub-document is set whole", whole_sub_documents, shown("both clean", "update", "V1 update"), visible=False
    ),
    Mutant("V1 inserted without looking", overwriting_insert, shown("neither", "insert", "insert")),
    Mutant("a lost compare-and-set taken for won", ignored_loss, shown("both clean", "update", "update")),
    Mutant("no raise when V1 is ahead of the ticket", no_raise, shown("placeholder behind V1", "update", "get")),
    Mutant("clean ignores the intent", ignored_intent, shown("both clean", "update", "get")),
    Mutant("a tombstone answers for V1", answering_tombstone, shown("tombstone", "insert", "get")),
    Mutant("a listing trusts any revision", trusting_list, shown("dirty after V1's step", "list")),
    Mutant(
        "apply unmarks an open announcement", eager_unmarking, shown("both clean", "update", "update"), visible=False
    ),
    Mutant("a writer yields to a reader's repair", modest_writer, shown_by_note("V1 only", "note", "get")),
    Mutant(
        "a repair over any lower revision",
        greedy_repair,
        lambda: given_time.slow_scenario("get"),
    ),
    Mutant(
        "an announcement withdrawn over others", careless_withdrawal, shown("both clean", "failed update", "update")
    ),
    Mutant("write V1, then V2", naive, shown("both clean", "update", "get")),
)
