"""The shared statements with one guard taken away, each under a name that says which, and where that shows."""

from attrs import evolve

from lazymig.protocol import tickets, writing
from lazymig.stores import deleting, grouping
from lazymig.stores.announcing import Announcements
from lazymig.stores.grouping import GuardedWrites
from tests.interleaving.grouped import beside_a_process_without_v2, beside_a_program, grouped_scenario
from tests.interleaving.mutants import Mutant

SHOWS_OTHERS = writing._shows_others


def shared_numbers(monkeypatch):
    """A bulk raises the intents, and what is read afterwards is taken for the writer's own number."""

    async def announce_each(self, expected):
        ids = [after.id for after in expected]
        for id in ids:
            update = {"$inc": {"_lazymig.intent": 1}, **self._store.mark()}
            await self._store._durable.update_one({"_id": id}, update)
        found = await self._store.find_many(ids)
        return [found[id] for id in ids]

    monkeypatch.setattr(Announcements, "announce_each", announce_each)


def early_decisions_stand(monkeypatch):
    """What was decided before the announcement was made counts, whatever came of that."""
    announce = tickets.announce

    async def announce_as_expected(pair, id, edit):
        begun = await pair.ledger.begin_ticket(id)
        if begun.finish is None:
            return begun.expected, None
        early = await tickets._decide_early(pair, edit, begun.expected)
        return await begun.finish(), early

    assert writing.announce is announce
    monkeypatch.setattr(writing, "announce", announce_as_expected)


def unannounced_writes(monkeypatch):
    """V1 is changed as soon as it is known what the announcement would be, and the announcement follows."""

    async def announce_later(pair, id, edit):
        begun = await pair.ledger.begin_ticket(id)
        return begun.expected, None

    monkeypatch.setattr(writing, "announce", announce_later)


def inserting_updates(monkeypatch):
    """An update whose filter matches nothing inserts what it would have set."""
    monkeypatch.setattr(grouping, "_build_upsert", lambda one: (one.where, one.update))


def lost_updates_count(monkeypatch):
    """What the server did not refuse for another reason is taken for done."""
    updated = GuardedWrites.update_each

    async def update_each(self, updates):
        return [outcome is False or outcome for outcome in await updated(self, updates)]

    monkeypatch.setattr(GuardedWrites, "update_each", update_each)


def unguarded_deletes(monkeypatch):
    """A delete of a bulk takes the entity at any revision."""
    deleted = deleting.SharedDeletes.delete_each

    async def delete_each(self, deletes):
        return await deleted(self, [one._replace(where={"_id": one.where["_id"]}) for one in deletes])

    monkeypatch.setattr(deleting.SharedDeletes, "delete_each", delete_each)


def shortfalls_count(monkeypatch):
    """A delete of a bulk is taken for done, though the bulk deleted fewer."""

    async def find_none(self, deletes, places):
        return []

    monkeypatch.setattr(deleting.SharedDeletes, "_find_unclear", find_none)


def gone_is_deleted(monkeypatch):
    """What is gone is taken for deleted by the bulk, whatever was announced since."""
    monkeypatch.setattr(deleting, "_is_as_left", lambda now, announced: True)


def nobody_is_silent(monkeypatch):
    """A delete shares its statement although others may delete without a word to V2."""

    def shows_others(pair, seen, expected, ticket):
        return SHOWS_OTHERS(evolve(pair, checked=False, suspect=False), seen, expected, ticket)

    monkeypatch.setattr(writing, "_shows_others", shows_others)


MUTANTS = (
    Mutant(
        "shared numbers", shared_numbers,
        lambda: grouped_scenario("both clean", [["update"], ["update", "failed update"]]),
    ),
    Mutant(
        "early decisions stand", early_decisions_stand, lambda: grouped_scenario("both clean", [["update"], ["update"]])
    ),
    Mutant("unannounced writes", unannounced_writes, lambda: grouped_scenario("both clean", [["update"], ["get"]])),
    Mutant("inserting updates", inserting_updates, lambda: grouped_scenario("both clean", [["replace"], ["delete"]])),
    Mutant("lost updates count", lost_updates_count, lambda: grouped_scenario("both clean", [["update"], ["update"]])),
    Mutant("unguarded deletes", unguarded_deletes, lambda: grouped_scenario("both clean", [["delete"], ["update"]])),
    Mutant("shortfalls count", shortfalls_count, lambda: grouped_scenario("both clean", [["delete"], ["update"]])),
    Mutant(
        "unannounced deletes by a program", nobody_is_silent,
        lambda: beside_a_program(["delete"], ["outside delete"]),
    ),
    Mutant(
        "unannounced deletes by a process without V2", nobody_is_silent,
        lambda: beside_a_process_without_v2(["delete"], ["delete"]),
    ),
    Mutant("gone is deleted", gone_is_deleted, lambda: grouped_scenario("both clean", [["delete"], ["delete"]])),
)  # fmt: skip
