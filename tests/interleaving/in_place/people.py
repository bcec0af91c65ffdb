"""What the explorations of documents with both shapes begin with: classes, migrations, and every kind of document.

`email` is shared: a text, a list, null, or missing, which is not null. `note` is V2's alone, and `legacy` is a field
that no class knows, at the top and in a sub-document.
"""

from attrs import evolve, frozen

import lazymig
from lazymig.shapes.conversions import conversions_for
from lazymig.shapes.sharing import share_document
from tests.by_field import UNSEEN
from tests.interleaving.subject import ID, Count

WITHIN = "v2"
#: What a missing field stands for.
NOBODY = "nobody@x"


@frozen
class PersonV1:
    """One name, and a count in a sub-document."""

    id: int
    name: str
    count: Count
    email: str | list[str] | None = NOBODY


@frozen
class PersonV2:
    """Two names, a count, the same address, and a note that V1 cannot express."""

    id: int
    first: str
    last: str
    tally: int
    email: str | list[str] | None = NOBODY
    note: str = ""


def to_v2(v1):
    """Split the name."""
    first, _, last = v1.name.partition(" ")
    return PersonV2(v1.id, first, last, v1.count.tally, v1.email)


def to_v2_keeping(v1, previous):
    """Split the name, and keep the note that V2 held."""
    return evolve(to_v2(v1), note=previous.note if previous else "")


def to_v1(v2):
    """Join the names."""
    return PersonV1(v2.id, f"{v2.first} {v2.last}", Count(v2.tally), v2.email)


FORGETTING = lazymig.Migration(name="people", v1=PersonV1, v2=PersonV2, upgrade=to_v2, downgrade=to_v1)
KEEPING = evolve(FORGETTING, upgrade=to_v2_keeping)
INSIDE = evolve(KEEPING, v2_within=WITHIN)
#: The layouts of V2's part, by name.
LAYOUTS = {"flat": KEEPING, "within": INSIDE}


def shape_of(migration):
    """How the documents of a migration hold both shapes."""
    conversions = conversions_for(migration, v1_aware=False, v2_aware=False)
    return share_document(migration, conversions.v1, conversions.v2)


SHAPES = {name: shape_of(migration) for name, migration in LAYOUTS.items()}


# ---- documents ------------------------------------------------------------------------------------------------------


def v1_part(name="Ada Ada", tally=0, email="a@x", **more):
    """V1's part, with what no class knows."""
    return {"name": name, "count": {"tally": tally, "legacy": 1}, "email": email, "legacy": 1, **more}


def v2_part(layout, name="Ada Ada", tally=0, email="a@x", note=""):
    """V2's part as the layout stores it."""
    first, _, last = name.partition(" ")
    body = {"first": first, "last": last, "tally": tally, "note": note}
    return body if layout == "flat" else {WITHIN: {**body, "email": email}}


def of(layout, part):
    """The fingerprint of V1's part."""
    return SHAPES[layout].fingerprint(part)


def whole(layout, v1=None, v2=None, made_of=None, **meta):
    """A document with both parts. `made_of`: the V1 part that V2's was made of, unless it is the one that stands."""
    v1 = v1_part() if v1 is None else v1
    fingerprint = {} if made_of is False else {"of": of(layout, made_of or v1)}
    return {"_id": ID, **v1, **(v2 or {}), "_lazymig": {"rev": 3, **fingerprint, "by": "read", **meta}}


def states_of(layout):
    """Every kind of document to begin with, by name; None where there is none."""
    old = v1_part("Old Old", 7, "o@x")
    return {
        "none": None,
        "V1 only": {"_id": ID, **v1_part()},
        "V1 with meta": whole(layout, made_of=False),
        "both current": whole(layout, v2=v2_part(layout, note="n")),
        "stale": whole(layout, v2=v2_part(layout, "Old Old", 7, "o@x", "n"), made_of=old),
        "both current, null": whole(layout, v1_part(email=None), v2_part(layout, email=None, note="n")),
        "filled": whole(layout, v2=v2_part(layout), rev=0),
        "older conversion": whole(layout, v2=v2_part(layout, "Wrong Name", 99, note="n"), conv=1),
        "alone": whole(
            layout, v1_part(email="b@x") if layout == "flat" else old, v2_part(layout, tally=5, email="b@x", note="n"),
            alone="people",
        ),
        "alone, V1 changed since": whole(
            layout, v1_part(email="b@x"), v2_part(layout, "Old Old", 7, "b@x", "n"), made_of=old, alone="people"
        ),
        "alone, born in V2": {
            "_id": ID, **v2_part(layout, tally=5, email="b@x", note="n"),
            **({"email": "b@x"} if layout == "flat" else {}), "_lazymig": {"rev": 4, "by": "write", "alone": "people"},
        },
    }  # fmt: skip


# ---- values ---------------------------------------------------------------------------------------------------------

FIELDS = ("name", "tally", "email", "note")


def value_of(entity):
    """The value of an entity of either door: each of `FIELDS`."""
    if entity is None:
        return None
    v1 = entity if isinstance(entity, PersonV1) else to_v1(entity)
    return (v1.name, v1.count.tally, str(v1.email), getattr(entity, "note", UNSEEN))


def parts_of(layout, document):
    """V2's part of a document as one of its own."""
    return document if layout == "flat" else document.get(WITHIN, {})


def truth_of(layout, document):
    """The value of a stored document: V1's part is the truth until V2's is alone. Only V2 has the note."""
    if document is None:
        return None
    meta, v2 = document.get("_lazymig", {}), parts_of(layout, document)
    if meta.get("alone"):
        return (f"{v2['first']} {v2['last']}", v2["tally"], str(v2.get("email", NOBODY)), v2["note"])
    note = v2["note"] if "of" in meta and "unmoved" not in meta else ""
    return (document["name"], document["count"]["tally"], str(document.get("email", NOBODY)), note)
