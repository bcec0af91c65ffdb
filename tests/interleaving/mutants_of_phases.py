"""The steps of single phases with one guard taken away, each under a name that says which, and where that shows."""

from types import SimpleNamespace

from attrs import evolve

from lazymig.protocol import preparing, reading, repairing, shadowing, v2_alone, v2_first, v2_listing, writing
from lazymig.protocol.inserting import announce
from lazymig.protocol.writing import Done, finish
from lazymig.routes.v2_primary import V2Primary
from lazymig.stores import v2_alone as stores
from lazymig.stores.mongo_v2 import V2Store
from lazymig.stores.records import StoredV2
from lazymig.stores.v2_alone import AloneStore
from tests.interleaving.mutants import Mutant, overwriting_migration, peek
from tests.interleaving.phases_side_by_side import COEXIST, PREPARE, SHADOW, V1_ONLY, V2_ONLY, V2_PRIMARY, scenario


def silent_prepare(monkeypatch):
    """A process in `prepare` announces nothing, like one in `v1_only`."""
    monkeypatch.setattr(V2Store, "ticket", peek)


def low_prepare(monkeypatch):
    """A process in `prepare` lets V1 move past what it announced."""

    async def raise_nothing(store, id, intent):
        return None

    monkeypatch.setattr(V2Store, "raise_intent", raise_nothing)


def trusting_prepare(monkeypatch):
    """A process in `prepare` takes a clean V2 document for an entity that exists."""

    async def trusting(pair, id, *, trusting):
        return await announce(pair, id)

    monkeypatch.setattr(preparing, "announce", trusting)


def storing_prepare(monkeypatch):
    """A process in `prepare` stores bodies in V2."""
    write = preparing.write

    async def stored(pair, id, edit):
        change = await write(pair, id, edit)
        truth = await pair.v1.find_local(id)
        if truth is not None and change is not None:
            await finish(pair, id, Done(truth.revision, change, truth.revision))
        return change

    monkeypatch.setattr(preparing, "write", stored)


def careless_shadow(monkeypatch):
    """A read in `shadow` fills V2 whatever stands there."""
    overwriting_migration(monkeypatch)

    async def fill(pair, truth, read_at_s):
        await reading.fill(pair, None, truth, read_at_s)

    monkeypatch.setattr(shadowing, "_fill", fill)


def dirty_answers(monkeypatch):
    """V2 answers though a write is announced."""
    monkeypatch.setattr(StoredV2, "clean", property(lambda stored: not stored.gone))


def gone_is_missing(monkeypatch):
    """What V2 holds without a body does not exist, though a write is announced."""

    async def read(route, id):
        seen = await route.pair.bodies.find(id)
        return None if seen is None or seen.gone else await reading.read(route.pair, id, lacking=False)

    monkeypatch.setattr(V2Primary, "read", read)


def early_acknowledgement(monkeypatch):
    """A write is acknowledged without V2's body."""

    async def finish_nothing(pair, id, done):
        return None

    monkeypatch.setattr(v2_first, "_finish", finish_nothing)


def unsettled(monkeypatch):
    """A listing does not look for open marks first."""

    async def nothing(pair):
        return []

    monkeypatch.setattr(v2_listing, "settle", nothing)


def listed_dirt(monkeypatch):
    """A listing takes every body that V2 holds."""
    monkeypatch.setattr(v2_listing, "_trust", lambda pair, row: pair.conversions.trusted(row))


def no_revival(monkeypatch):
    """A writer that comes too late leaves the tombstone."""

    async def leave(pair, id, done):
        return None

    monkeypatch.setattr(v2_first, "revive", leave)


def no_revival_before(monkeypatch):
    """A writer in `coexist` that comes too late leaves the tombstone, which that phase does not notice."""

    async def leave(pair, id, done):
        return None

    monkeypatch.setattr(writing, "revive", leave)


def burying_delete(monkeypatch):
    """A delete buries whatever body is below its ticket, also that of the next entity."""
    bury = V2Store.bury

    async def any_below(store, id, revision, *, since=None):
        return await bury(store, id, revision, since=revision - 1)

    monkeypatch.setattr(V2Store, "bury", any_below)


def burying_repair(monkeypatch):
    """A repair buries what it did not find in V1, and does not look again."""

    async def found_nothing(pair, id):
        return False

    monkeypatch.setattr(repairing, "_came_late", found_nothing)


def unguarded_replace(monkeypatch):
    """In `v2_only`, a body is stored over whatever stands."""
    monkeypatch.setattr(stores, "_as_seen", lambda seen: {"_id": seen.id})


def half_guarded_replace(monkeypatch):
    """In `v2_only`, only the revision is compared: an announcement that came since is not noticed."""
    monkeypatch.setattr(stores, "_as_seen", lambda seen: {"_id": seen.id, "_lazymig.intent": {"$gte": seen.revision}})


def standing_still(monkeypatch):
    """In `v2_only`, a write keeps the revision that it found."""
    monkeypatch.setattr(AloneStore, "_raise", lambda _store, seen: seen.intent)


def overwriting_insert(monkeypatch):
    """In `v2_only`, an insert takes over a live document like a tombstone."""
    insert = v2_alone.insert

    async def over_anything(pair, id, change):
        find = pair.alone.find

        async def as_gone(id):
            seen = await find(id)
            return None if seen is None else seen._replace(gone=True)

        parts = {name: getattr(pair.alone, name) for name in ("insert", "replace")}
        await insert(evolve(pair, alone=SimpleNamespace(find=as_gone, **parts)), id, change)

    monkeypatch.setattr(v2_alone, "insert", over_anything)


def deaf_delete(monkeypatch):
    """In `v2_only`, a delete that lost its race is acknowledged."""
    bury = AloneStore.bury

    async def anyway(store, seen, *, again=False):
        await bury(store, seen, again=again)
        return True

    monkeypatch.setattr(AloneStore, "bury", anyway)


def shown(phases, state, *clients, **changes):
    """The calls of each client, separated by commas: the first client in the first phase."""
    return lambda: scenario(phases, state, [names.split(", ") for names in clients], **changes)


TWICE = (V2_PRIMARY, V2_PRIMARY)
ALONE = (V2_ONLY, V2_ONLY)
MUTANTS = (
    Mutant("prepare: no ticket", silent_prepare, shown((PREPARE, SHADOW), "V1 only", "update", "get"), visible=False),
    Mutant(
        "prepare: no raise", low_prepare, shown((PREPARE, SHADOW), "placeholder behind V1", "update", "get"),
        visible=False,
    ),
    Mutant(
        "prepare: V2 trusted by an insert", trusting_prepare,
        shown((V1_ONLY, PREPARE), "V2 of a deleted entity", "get", "insert"),
    ),
    Mutant("prepare: bodies stored", storing_prepare, shown((V1_ONLY, PREPARE), "V1 only", "update", "update"),
           visible=False),
    Mutant(
        "shadow: filled over anything", careless_shadow, shown((SHADOW, COEXIST), "both clean", "get", "update, get")
    ),
    Mutant("v2_primary: dirty answers", dirty_answers, shown(TWICE, "dirty after V1's step", "get", "get")),
    Mutant("v2_primary: gone is missing", gone_is_missing, shown(TWICE, "placeholder with V1", "get", "get")),
    Mutant("v2_primary: acknowledged early", early_acknowledgement, shown(TWICE, "both clean", "update until stored")),
    Mutant("v2_primary: listed without settling", unsettled, shown(TWICE, "placeholder with V1", "list", "get")),
    Mutant("v2_primary: dirty bodies listed", listed_dirt, shown(TWICE, "deleted half way", "list", "get")),
    Mutant(
        "v2_primary: tombstone left over an insert", no_revival,
        shown(TWICE, "placeholder with V1", "insert", "delete", crashes=False),
    ),
    Mutant(
        "coexist: tombstone left over an insert",
        no_revival_before,
        shown((COEXIST, V2_PRIMARY), "placeholder with V1", "insert", "delete", crashes=False),
    ),
    Mutant(
        "v2_primary: a later entity buried", burying_delete,
        shown(TWICE, "placeholder with V1", "insert", "delete", crashes=False),
    ),
    Mutant(
        "v2_primary: a later entity buried by a repair", burying_repair,
        shown(TWICE, "placeholder with V1", "insert", "delete, repair", crashes=False),
    ),
    Mutant("v2_only: no guard", unguarded_replace, shown(ALONE, "V2 alone", "update", "update")),
    Mutant("v2_only: a guard that lets pass", half_guarded_replace, shown(ALONE, "V2 alone", "update", "delete")),
    Mutant("v2_only: the revision stands still", standing_still, shown(ALONE, "V2 alone", "update", "update")),
    Mutant("v2_only: an insert over a live document", overwriting_insert, shown(ALONE, "V2 alone", "insert", "get")),
    Mutant("v2_only: a lost delete acknowledged", deaf_delete, shown(ALONE, "V2 alone", "update", "delete")),
)  # fmt: skip
