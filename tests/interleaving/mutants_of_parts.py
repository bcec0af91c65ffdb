"""What keeps parts of documents right, with one guard taken away, each under a name that says which."""

from lazymig import Phase
from lazymig.protocol import inserting, sealing
from lazymig.stores.carried import Carried
from lazymig.stores.mongo_v1 import V1Store
from tests.interleaving import following, parts_followed
from tests.interleaving.mutants import Mutant
from tests.interleaving.parts import NOWHERE, OutsideTask, PartsTask, SealedPartsTask


def insert_over_anything(monkeypatch):
    """An insert does not ask whether the document holds the entity already."""
    monkeypatch.setattr(Carried, "guard_vacancy", lambda carried, id, revision=None: {"_id": id})


def insert_a_document(monkeypatch):
    """An insert makes the document where there is none."""
    guarded = V1Store.insert

    async def insert(store, id, document, revision):
        await store._durable.update_one({"_id": id}, {"$setOnInsert": {"new": 1}}, upsert=True)
        return await guarded(store, id, document, revision)

    monkeypatch.setattr(V1Store, "insert", insert)


def insert_below_the_bar(monkeypatch):
    """An insert does not ask which revision the document has been left."""
    guard = Carried.guard_vacancy
    monkeypatch.setattr(Carried, "guard_vacancy", lambda carried, id, revision=None: guard(carried, id))


def delete_at_any_revision(monkeypatch):
    """A delete removes the entity at whatever revision it is."""

    async def delete(store, id, expected):
        where = {"_id": id, **store.carried.selection}
        return bool((await store._durable.update_one(where, store.carried.deletion(expected))).matched_count)

    monkeypatch.setattr(V1Store, "delete", delete)


def delete_the_document(monkeypatch):
    """A delete removes the whole document."""

    async def delete(store, id, expected):
        return bool((await store._durable.delete_one(store.carried.guard(id, expected))).deleted_count)

    monkeypatch.setattr(V1Store, "delete", delete)


def update_what_is_gone(monkeypatch):
    """An update does not ask whether the document still holds the entity."""

    def guard(carried, id, revision, within=(), held=None):
        return Carried().guard(id, revision, within, held) if revision == 0 else {"_id": id, carried.revision: revision}

    monkeypatch.setattr(Carried, "guard", guard)


def every_document(monkeypatch):
    """A document without the entity's fields is taken for an entity."""
    monkeypatch.setattr(Carried, "selection", {})


def exists_without_a_document(monkeypatch):
    """An insert that finds no document is answered as one that finds the entity."""

    async def explain(pair, id):
        raise inserting.AlreadyExists(id)

    monkeypatch.setattr(inserting, "explain_refusal", explain)


def no_bar(monkeypatch):
    """The seal bars nothing."""

    async def nothing(work, marks):
        return None

    monkeypatch.setattr(sealing._Work, "_bar", nothing)


def bar_after_the_look(monkeypatch):
    """The seal looks at what V1 holds before it bars the rest."""

    async def close_marks(work):
        while marks := [seen async for page in work._page_open_marks() for seen in page]:
            if late := await work._keep_held(marks):
                raise work._explain_late(late)
            await work._bar(marks)
            await work._pair.alone.bury_each(marks)

    monkeypatch.setattr(sealing._Work, "_close_marks", close_marks)


def nobody_heals(monkeypatch):
    """The follower handles the events, and heals nothing."""

    async def nothing(pair, id, *, inserted=False):
        return True

    monkeypatch.setattr(following, "heal_one", nothing)


def side_by_side(state, *clients):
    """Two processes in `coexist`."""
    return PartsTask(state, tuple((client,) for client in clients)).scenario


def outside(state, *clients, phase=Phase.COEXIST):
    """A process that compares both sides, beside a program that does not use lazymig."""
    checked = phase is Phase.COEXIST
    return OutsideTask(state, tuple((client,) for client in clients), phase=phase, checked=checked).scenario


def sealed(state, *clients):
    """Stale processes beside a seal."""
    return SealedPartsTask(state, tuple(tuple(names.split(", ")) for names in clients)).scenario


MUTANTS = (
    Mutant("part: an insert overwrites", insert_over_anything, side_by_side("neither", "insert", "insert")),
    Mutant("part: an insert makes a document", insert_a_document, outside(NOWHERE, "insert", "get")),
    Mutant("part: an insert passes the bar", insert_below_the_bar, sealed("placeholder without V1", "insert", "get")),
    Mutant("part: a delete has no guard", delete_at_any_revision, side_by_side("both clean", "delete", "update")),
    Mutant("part: a delete removes the document", delete_the_document, side_by_side("both clean", "delete", "get"),
           visible=False),
    Mutant("part: an update revives", update_what_is_gone,
           outside("V1 only", "update", "outside remove", phase=Phase.V1_ONLY)),
    Mutant("part: every document is an entity", every_document, side_by_side("neither", "get", "insert")),
    Mutant("part: no document is an entity", exists_without_a_document, outside(NOWHERE, "insert", "get")),
    Mutant("part: the seal bars nothing", no_bar, sealed("placeholder without V1", "insert", "get")),
    Mutant(
        "part: nobody heals", nobody_heals,
        lambda: parts_followed.scenario("both clean", [["outside remove"], ["get"]]), visible=False,
    ),
    Mutant("part: the seal bars too late", bar_after_the_look, sealed("placeholder without V1", "insert", "get")),
)  # fmt: skip
