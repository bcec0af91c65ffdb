"""Documents with both shapes with one guard taken away, each under a name that says which, and where that shows."""

from attrs import evolve

from lazymig.protocol.in_place import composing, reading, writing
from lazymig.protocol.in_place.parts import Parts
from lazymig.shapes.one_document import OneDocument
from lazymig.stores import documents, mongo_wholes
from lazymig.stores.documents import MISSING
from lazymig.stores.mongo_wholes import WholeStore
from lazymig.stores.records import Filled
from lazymig.stores.whole_documents import make_whole_filter
from tests.interleaving.in_place import unmoved
from tests.interleaving.in_place.people import SHAPES, v2_part, whole
from tests.interleaving.in_place.scenarios import COEXIST, SHADOW, V2_ONLY, V2_PRIMARY, scenario
from tests.interleaving.in_place.special import (
    foreign_comes,
    foreign_stays,
    history_grows,
    lives_apart,
    newer_stays,
    put_back_between,
)
from tests.interleaving.mutants import Mutant

# ---- guards of statements -------------------------------------------------------------------------------------------


def without(*dropped):
    """Statements whose guard lacks these conditions."""

    def spoil(monkeypatch):
        def loose(seen, held=None, within=()):
            where = make_whole_filter(seen, held, within)
            return {path: value for path, value in where.items() if path not in dropped}

        monkeypatch.setattr(mongo_wholes, "make_whole_filter", loose)

    return spoil


def no_held_values(monkeypatch):
    """The old values of V1's fields are not asked for, and so neither are arrays in their place."""
    monkeypatch.setattr(
        mongo_wholes, "make_whole_filter", lambda seen, held=None, within=(): make_whole_filter(seen, None, within)
    )


def arrays_match(monkeypatch):
    """A held value also matches an array that contains it."""

    def loose(seen, held=None, within=()):
        where = make_whole_filter(seen, held, within)
        where.pop("$nor", None)
        return where

    monkeypatch.setattr(mongo_wholes, "make_whole_filter", loose)


def null_is_missing(monkeypatch):
    """A held null also matches a missing field, and a missing one null."""
    monkeypatch.setattr(documents, "_match_value", lambda value: {"$eq": None if value is MISSING else value})


def unguarded_fill(monkeypatch):
    """A read stores its conversion over whatever stands."""

    async def anyhow(store, change):
        where, update = mongo_wholes.build_statement(change)
        result = await store.collection.update_one({"_id": where["_id"]}, update)
        return Filled(result.matched_count, {})

    monkeypatch.setattr(WholeStore, "fill", anyhow)


def unguarded_sweep(monkeypatch):
    """A sweep stores its conversions over whatever stands."""

    async def anyhow(store, changes, *, durable=False):
        for change in changes:
            where, update = mongo_wholes.build_statement(change)
            await store.collection.update_one({"_id": where["_id"]}, update)
        return Filled(len(changes), {})

    monkeypatch.setattr(WholeStore, "fill_each", anyhow)


def fingerprint_of_what_stands(monkeypatch):
    """A read stores the fingerprint of what stands when it stores, and not of what it converted."""
    fill = WholeStore.fill

    async def late(store, change):
        standing = await store.collection.find_one({"_id": change.seen.id})
        of = SHAPES["flat"].fingerprint(standing or change.seen.document)
        return await fill(store, evolve(change, meta={**change.meta, "of": of}))

    monkeypatch.setattr(WholeStore, "fill", late)


# ---- what is trusted ------------------------------------------------------------------------------------------------


def trusting(monkeypatch):
    """Whatever V2's part was made from, it answers."""
    monkeypatch.setattr(Parts, "fits", property(lambda parts: parts.stored.of is not None))


def missing_is_null(monkeypatch):
    """The fingerprint takes a missing field for null."""
    fingerprint = OneDocument.fingerprint

    def loose(shape, document):
        return fingerprint(shape, {**dict.fromkeys(shape.v1), **document})

    monkeypatch.setattr(OneDocument, "fingerprint", loose)


def forgets_alone(monkeypatch):
    """V2's door in `v2_primary` takes V1's part for the truth of every document."""

    async def read(parts):
        return await _make_v2(_not_alone(parts))

    monkeypatch.setattr(reading, "make_v2", read)


_make_v2, _make_v1, _decide_both = reading.make_v2, reading.make_v1, writing.decide_both


def forgets_alone_in_v1(monkeypatch):
    """V1's door in `v2_primary` takes V1's part for the truth of every document."""

    async def read(parts):
        return await _make_v1(_not_alone(parts))

    monkeypatch.setattr(reading, "make_v1", read)
    monkeypatch.setattr(reading.read_v1, "__defaults__", (read,))


def forgets_alone_in_writes(monkeypatch):
    """A write in `v2_primary` takes V1's part for the truth of every document."""

    async def decide(parts, edit):
        return await _decide_both(_not_alone(parts), edit)

    monkeypatch.setattr(writing.write, "__defaults__", (decide,))


def _not_alone(parts):
    return evolve(parts, stored=parts.stored._replace(alone=False))


def careless_first_write(monkeypatch):
    """The first write of V2's part alone does not look whether V1's part still stands."""
    monkeypatch.setattr(composing, "hold_v1", lambda place, stored: {})


def low_inserts(monkeypatch):
    """A new entity begins at revision 1."""
    monkeypatch.setattr(writing, "pick_unused_step", lambda clock: 1)


def counted_revisions(monkeypatch):
    """A write takes the next number for its revision."""
    monkeypatch.setattr(composing, "raise_revision", lambda place, stored: stored.revision + 1)


def takes_any_document(monkeypatch):
    """Where there is no revision, whatever stands now is taken for what was read."""
    monkeypatch.setattr(composing, "identify", lambda place, stored: {})


def hasty_delete(monkeypatch):
    """V2's door deletes an entity that it knew when it read it."""
    monkeypatch.setattr(writing, "hold_decided", lambda parts: None)


def takes_all_names(monkeypatch):
    """A field of another program is taken for V2's."""
    takes_any_document(monkeypatch)
    monkeypatch.setattr(OneDocument, "find_taken", lambda shape, document: None)


def eager_release(monkeypatch):
    """An older release stores its conversion over that of a newer one."""
    monkeypatch.setattr(Parts, "may_fill", property(lambda parts: True))


# ---- where each shows -----------------------------------------------------------------------------------------------


def shown(state, *clients, phases=(COEXIST, COEXIST), **changes):
    """The calls of each client, separated by commas."""
    return lambda: scenario(phases, state, [names.split(", ") for names in clients], **changes)


BARE = {"name": "New1000 Name", "count": {"tally": 1000}, "email": "1000@x"}
#: An entity with a note, at the revision at which a careless insert begins, that an insert of B replaces by its like.
AT_ONE = whole("flat", BARE, v2_part("flat", "New1000 Name", 1000, note="n"), rev=1)
SIDES = (V2_PRIMARY, V2_ONLY)

MUTANTS = (
    Mutant("no guard by revision", without("_lazymig.rev"), shown("both current", "note", "note")),
    Mutant("no guard by fingerprint", without("_lazymig.of"), history_grows),
    Mutant("no guard by V1's values", no_held_values, shown("both current", "update", "out tally")),
    Mutant("a held value matches an array", arrays_match, shown("both current", "mail", "out list")),
    Mutant("a held null matches a missing field", null_is_missing, shown("both current, null", "mail", "out unset")),
    Mutant("V2's part answers whatever it was made from", trusting, shown("both current", "get", "out name, V1 get")),
    Mutant(
        "the fingerprint takes missing for null", missing_is_null,
        shown("both current, null", "get", "out unset", layout="within"),
    ),
    Mutant("a fill's fingerprint is of what stands", fingerprint_of_what_stands, shown("stale", "get", "out name")),
    Mutant("a fill without a guard", unguarded_fill, shown("stale", "get", "note", phases=(SHADOW, SHADOW))),
    Mutant("a sweep without a guard", unguarded_sweep, shown("stale", "sweep", "note")),
    Mutant(
        "a sweep without a guard, beside v2_only", unguarded_sweep, shown("V1 only", "sweep", "update", phases=SIDES)
    ),
    Mutant("V2's door forgets `alone`", forgets_alone, shown("alone, V1 changed since", "get", "update", phases=SIDES)),
    Mutant("V1's door forgets `alone`", forgets_alone_in_v1, shown("both current", "V1 get", "update", phases=SIDES)),
    Mutant("a write forgets `alone`", forgets_alone_in_writes, shown("both current", "update", "rename", phases=SIDES)),
    Mutant(
        "the first write alone does not hold V1's part", careless_first_write,
        shown("both current", "out name until alone", "note", phases=SIDES),
    ),
    Mutant("an insert begins at revision 1", low_inserts, shown(AT_ONE, "note", "delete, insert")),
    Mutant(
        "V2's door deletes what has just been left", hasty_delete,
        lambda: unmoved.scenario((COEXIST, COEXIST), "current", (["delete"], ["out leave"])),
    ),
    Mutant("a revision is the next number", counted_revisions, put_back_between),
    Mutant("a new document is taken for the one that was read", takes_any_document, lives_apart, visible=False),
    Mutant("a field that has just come is taken", takes_any_document, foreign_comes, visible=False),
    Mutant("a field of somebody else is taken", takes_all_names, foreign_stays, visible=False),
    Mutant("an older release stores over a newer one", eager_release, newer_stays, visible=False),
)  # fmt: skip
