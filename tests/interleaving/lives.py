"""Lives of one id: each entity's note carries the life's name, so that a note of another life shows at once.

A life is named by the last name, which V1 holds as well; the note is what only V2 can hold.
"""

from attrs import evolve

from tests.interleaving import subject
from tests.interleaving.subject import (
    ID,
    INVARIANTS,
    KEEPING,
    OLD,
    Call,
    Count,
    PersonV1,
    PersonV2,
    common,
    done,
    gone,
    setup,
    v1_document,
    v2_document,
)

FIRST = "Ada First"


def remembering(document, ticket):
    """A V2 document beside which an insert was announced."""
    return {**document, "_lazymig": {**document["_lazymig"], "inserts": [ticket]}}


STATES = {
    "neither": ((), ()),
    "V1 only": ((v1_document(3, name=FIRST),), ()),
    "both clean": ((v1_document(2, name=FIRST),), (v2_document(2, 2, name=FIRST, note="First"),)),
    "tombstone": ((), (gone(3, 3),)),
    "placeholder without V1": ((), (gone(-1, 1),)),
    "placeholder with V1": ((v1_document(1, name=FIRST),), (gone(-1, 1),)),
    "a late body of an earlier life": (
        (v1_document(9, name="Ada Second"),),
        (remembering(v2_document(2, 9, OLD, name=FIRST, note="First"), 9),),
    ),
    "an insert in doubt": (
        (v1_document(9, name=FIRST),),
        (remembering(v2_document(9, 9, name=FIRST, note="First"), 8),),
    ),
    "deleted half way": ((), (v2_document(2, 3, OLD, name=FIRST, note="First"),)),
}


def one_life(entity):
    """The entity's value, once its note is seen to be of its own life."""
    assert entity is None or entity.note in ("", entity.last), "the note is of another life"
    return common(entity)


async def one_life_each(listing):
    """The same for a listing."""
    return {entity.id: one_life(entity) async for entity in listing}


def calls(amount):
    """Inserts begin a life of their own; updates keep it."""
    name = f"L{amount}"
    written = (f"Ada {name}", amount)

    def raise_tally(entity):
        return evolve(entity, tally=entity.tally + amount, note=entity.last)

    def raise_count(entity):
        return evolve(entity, count=Count(entity.count.tally + amount))

    def raised(value):
        return (value[0], value[1] + amount)

    v2, v1 = PersonV2(ID, "Ada", name, amount, name), PersonV1(ID, f"Ada {name}", Count(amount))
    return {
        "get": Call("get", lambda s: s.repository.get(ID), ID, observe=one_life),
        "list": Call("list", lambda s: one_life_each(s.repository.list())),
        "insert": Call("insert", lambda s: s.repository.insert(v2), ID, written, one_life),
        "update": Call("update", lambda s: s.repository.update(ID, raise_tally), ID, raised, one_life),
        "delete": Call("delete", lambda s: s.repository.delete(ID), ID, observe=done),
        "V1 insert": Call("insert", lambda s: s.repository.v1.insert(v1), ID, written, common),
        "V1 update": Call("update", lambda s: s.repository.v1.update(ID, raise_count), ID, raised, common),
        "heal": Call("heal", subject.heal),
        "sweep": Call("sweep", subject.sweep),
    }


NAMES = tuple(calls(0))


def notes_of_their_own_life(world):
    """No body of V2 holds a note of another life than the body itself is of."""
    for document in world.stores[1].documents():
        if "note" in document and document["note"] not in ("", document["last"]):
            return "V2 holds a note of an entity that was deleted"
    return None


async def read_afterwards(s):
    """What is read when all is over, with its note looked at."""
    one_life(await s.repository.get(ID))
    return await subject.read_afterwards(s)


def scenario(state, clients, make=calls, **changes):
    """Clients by lists of call names, from one starting state."""
    changed = {
        "setup": setup(STATES[state], KEEPING),
        "afterwards": read_afterwards,
        "invariants": {**INVARIANTS, "own life": notes_of_their_own_life},
        "resumes": True,
        **changes,
    }
    return subject.scenario(state, clients, make=make, **changed)
