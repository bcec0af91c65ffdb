"""The guards of the protocol's amendments, each taken away, and where that shows."""

from pymongo import ReturnDocument

from lazymig.protocol import many, reading
from lazymig.protocol.edits import UpdateV2
from lazymig.shapes.conversions import Conversions
from lazymig.stores.documents import META_FIELD, parse_v2
from lazymig.stores.mongo_v1 import V1Store
from lazymig.stores.mongo_v2 import V2Store
from lazymig.sweeping import moving
from tests.interleaving import later, lives, outsiders, revisions
from tests.interleaving.mutants import Mutant, merging_apply

# ---- releases -------------------------------------------------------------------------------------------------------


def any_conversion(monkeypatch):
    """A body answers, no matter which conversion made it."""

    def trusted(conversions, seen):
        return conversions.v2_entity(seen)

    monkeypatch.setattr(Conversions, "trusted", trusted)


# ---- lives ----------------------------------------------------------------------------------------------------------


def any_life(monkeypatch):
    """The last body counts as the previous entity, though an insert was announced since."""
    previous = Conversions.previous

    def of_any_life(conversions, seen, truth, **flags):
        return previous(conversions, None if seen is None else seen._replace(inserts=()), truth, **flags)

    monkeypatch.setattr(Conversions, "previous", of_any_life)


def body_left_by_an_insert(monkeypatch):
    """An insert over a delete that died half way announces itself, and leaves the body."""

    async def announce(store, seen, ticket):
        where = {"_id": seen.id, f"{META_FIELD}.rev": seen.revision, f"{META_FIELD}.intent": seen.intent}
        change = {"$set": {f"{META_FIELD}.intent": ticket, f"{META_FIELD}.at": seen.at}}
        document = await store._durable.find_one_and_update(where, change, return_document=ReturnDocument.AFTER)
        return document is not None and parse_v2(document).intent == ticket

    monkeypatch.setattr(V2Store, "vacate", announce)


# ---- outsiders ------------------------------------------------------------------------------------------------------


def trusting_checked_write(monkeypatch):
    """In checked mode a write starts from V2's body where its revision is V1's."""
    decide = UpdateV2.decide

    async def trusting(edit, base):
        return await decide(edit, base._replace(trust_v2=True))

    monkeypatch.setattr(UpdateV2, "decide", trusting)


def unheld_values(monkeypatch):
    """In checked mode V1's compare-and-set looks at the revision only."""
    compare_and_set = V1Store.compare_and_set

    async def by_revision(store, id, expected, revision, changed, vanished=(), within=(), held=None):
        return await compare_and_set(store, id, expected, revision, changed, vanished, within)

    monkeypatch.setattr(V1Store, "compare_and_set", by_revision)


def trusting_checked_list(monkeypatch):
    """In checked mode a listing takes V2's body where its revision is V1's."""

    async def trusting(pair, seen, truth, *, seen_later=False):
        if seen.revision == truth.revision and not seen.gone:
            return pair.conversions.v2_entity(seen), True
        return await reading.compare(pair, seen, truth, seen_later=seen_later)

    monkeypatch.setattr(many, "compare", trusting)


# ---- what comes late ------------------------------------------------------------------------------------------------


def no_second_look(monkeypatch):
    """A conversion of an old read is stored, and V1 is not looked at again."""

    async def nothing(pair, truths):
        return 0

    for module in (reading, many, moving):
        monkeypatch.setattr(module, "look_again_at", nothing)


def overtaken_body(monkeypatch):
    """A write does not wait for this process's own body of the entity."""
    monkeypatch.setattr(later.Queue, "holds", lambda queue, id: False)


def shown_to_releases(state, *clients, **changes):
    """The calls of each client, separated by commas, by two releases."""
    return lambda: revisions.scenario(state, [names.split(", ") for names in clients], **changes)


def shown_in_lives(state, *clients):
    """The same, from one life to the next."""
    return lambda: lives.scenario(state, [names.split(", ") for names in clients])


def shown_to_outsiders(state, *clients):
    """The same in checked mode."""
    return lambda: outsiders.scenario(state, [names.split(", ") for names in clients])


MUTANTS = (
    Mutant(
        "keys survive an apply",
        merging_apply,
        shown_to_releases("older body with another key", "get", "older V1 update"),
        visible=False,
    ),
    Mutant("a body made by an older conversion answers", any_conversion, shown_to_releases("older body", "get")),
    Mutant(
        "an older body reaches V1", any_conversion, shown_to_releases("older body", "update", "older get"), visible=True
    ),
    Mutant(
        "the previous life's entity is passed on",
        any_life,
        shown_in_lives("a late body of an earlier life", "get", "V1 update"),
    ),
    Mutant(
        "an insert leaves the last life's body",
        body_left_by_an_insert,
        shown_in_lives("deleted half way", "V1 insert", "get"),
        visible=False,
    ),
    Mutant(
        "a checked write starts from V2",
        trusting_checked_write,
        shown_to_outsiders("V2 behind V1", "update", "outside"),
    ),
    Mutant("checked mode ignores V1's values", unheld_values, shown_to_outsiders("both clean", "update", "outside")),
    Mutant("a checked list trusts V2", trusting_checked_list, shown_to_outsiders("V2 behind V1", "list", "outside")),
    Mutant(
        "a late store is not looked at again",
        no_second_look,
        lambda: later.late_scenario([["get"], ["delete and forget"]]),
    ),
    Mutant(
        "a late sweep is not looked at again",
        no_second_look,
        lambda: later.late_scenario([["slow sweep"], ["delete and forget"]]),
    ),
    Mutant(
        "a write overtakes its own process's body",
        overtaken_body,
        lambda: later.queued_scenario("both clean", [["note", "note", "bring"], ["bring"]]),
    ),
)
