"""Scenarios with migrations and documents of their own: histories, fields of somebody else, two releases."""

from attrs import evolve, frozen

from lazymig.errors import ConversionError
from lazymig.testing.explore import Call
from lazymig.testing.linearizability import Outcome
from tests.interleaving.in_place.clients import fields
from tests.interleaving.in_place.people import (
    INSIDE,
    KEEPING,
    PersonV2,
    parts_of,
    states_of,
    to_v2,
    to_v2_keeping,
    v1_part,
    v2_part,
    whole,
)
from tests.interleaving.in_place.scenarios import COEXIST, scenario
from tests.interleaving.subject import ID
from tests.widening import WIDENING

FULL = WIDENING.full


def any_history(state, _operation):
    """Whatever was answered is right: only what calls assert, and the invariants, are judged."""
    return True, state


def unjudged(call):
    """The call without a place in the history."""
    return evolve(call, name=f"{call.name} unjudged", entity=None)


# ---- V2's part remembers what V1's part was --------------------------------------------------------------------------


def remember(v1, previous):
    """Keep each name that was seen, in the note."""
    before = previous.note if previous else ""
    return evolve(to_v2(v1), note=before if before.endswith(v1.name) else f"{before}, {v1.name}")


async def seen_to_grow(s):
    """What V2's part has remembered is not taken back by a slow reader, which saw an earlier one."""
    stored = await s.store.find_one({"_id": ID})
    read = await s.sides[1].get(ID)
    assert read.note.startswith(stored["note"]), f"{stored['note']!r} was stored, and {read.note!r} is read"


def history_grows():
    """A slow reader, one that looks at what is stored and reads, and a program that renames and renames again."""
    remembering = evolve(KEEPING, upgrade=remember)
    clients = (["get"], ["get", "get"], ["out name", "out name"])
    made = scenario((COEXIST, COEXIST), "both current", clients, migrations=(remembering,) * 2)
    calls = {client: [unjudged(call) for call in some] for client, some in made.clients.items()}
    calls["B"][1] = Call("get, and what is stored", seen_to_grow)
    return evolve(made, clients=calls, invariants={}, afterwards=None, model=any_history)


# ---- fields of somebody else -----------------------------------------------------------------------------------------


def refused(call):
    """The call, which may be refused for what the document holds."""

    async def run(s):
        try:
            await call.run(s)
        except ConversionError:
            return

    return Call(f"{call.name} or refused", run)


def foreign_field_stays(world):
    """What another program stored under a name of V2's own is as it was."""
    document = world.stores[0].stored(ID)
    return None if document is None or document.get("first") == "theirs" else "another program's field is gone"


def foreign_stays(phases=(COEXIST, COEXIST), clients=(("get", "update"), ("V1 update", "replace"))):
    """Calls on a document that has a field of V2's name, which lazymig has not stored."""
    made = scenario(phases, {"_id": ID, **v1_part(), "first": "theirs"}, clients)
    calls = {client: [refused(call) for call in some] for client, some in made.clients.items()}
    return evolve(made, clients=calls, invariants={"foreign": foreign_field_stays}, afterwards=None, model=any_history)


# ---- two releases ----------------------------------------------------------------------------------------------------


@frozen
class NewerV2(PersonV2):
    """The newer release's class, with a field that the older one does not know."""

    nick: str = ""


def upgrade_newer(v1, previous):
    """What the newer release's `upgrade` keeps."""
    made = to_v2_keeping(v1, previous)
    return NewerV2(made.id, made.first, made.last, made.tally, made.email, made.note, previous.nick if previous else "")


def wrong(v1, previous):
    """The older release's upgrade: wrong by a thousand."""
    made = to_v2_keeping(v1, previous)
    return evolve(made, tally=made.tally + 1000)


OLDER = evolve(INSIDE, upgrade=wrong)
NEWER = evolve(INSIDE, v2=NewerV2, upgrade=upgrade_newer, revision=2)


def nick_stays(world):
    """What only the newer release knows is still there."""
    v2 = world.stores[0].stored(ID)["v2"]
    return None if v2.get("nick") == "k" else "an older release stored its conversion over a newer one"


def newer_stays(reads=("get", "list")):
    """Reads of an older release beside a newer one, of an entity that another program changes."""
    v2 = v2_part("within", note="n")
    v2["v2"]["nick"] = "k"
    made = scenario(
        (COEXIST, COEXIST), whole("within", v2=v2, conv=2), (reads, ["get"], ["out name"]), "within", (OLDER, NEWER)
    )
    clients = {**made.clients, "A": [unjudged(call) for call in made.clients["A"]]}
    return evolve(made, clients=clients, invariants={"nick": nick_stays}, afterwards=None, model=any_history)


# ---- what may change between a read and what it stores ---------------------------------------------------------------


THEIRS = {"first": "theirs", "they": 1}


async def store_first(s):
    """Another program stores a field of its own, where it finds none."""
    result = await s.store.update_one(
        {"_id": ID, "first": {"$exists": False}}, {"$set": {"first": "theirs", "they": 1}}
    )
    return result.matched_count


def foreign_is_kept(world):
    """Where another program has stored its field, it stands."""
    document = world.stores[0].stored(ID)
    return "another program's field is gone" if "they" in document and document["first"] != "theirs" else None


def foreign_comes(call="get", phases=(COEXIST, COEXIST)):
    """A call on a document that lazymig has never stored, beside a program that stores a field of V2's name."""
    made = scenario(phases, "V1 only", ([call], []))
    calls = {"A": [refused(one) for one in made.clients["A"]], "B": [Call("out first", store_first)]}
    return evolve(made, clients=calls, invariants={"foreign": foreign_is_kept}, afterwards=None, model=any_history)


def notes_of_one_life(world):
    """A new document holds no memory of the one that was deleted or replaced before."""
    document = world.stores[0].stored(ID)
    if document is None or not document["name"].startswith("Out"):
        return None
    note = parts_of("flat", document).get("note", "")
    return f"the memory of an earlier document is kept: {note!r}" if "Ada" in note else None


def lives_apart(call="get", life=("out delete", "out insert")):
    """A call on a document that lazymig has never written, beside its end and the next one with the same id."""
    remembering = evolve(KEEPING, upgrade=remember)
    made = scenario((COEXIST, COEXIST), "V1 only", ([call], life), migrations=(remembering,) * 2)
    calls = {client: [unjudged(call) for call in some] for client, some in made.clients.items()}
    return evolve(made, clients=calls, invariants={"lives": notes_of_one_life}, afterwards=None, model=any_history)


# ---- documents that are put back -------------------------------------------------------------------------------------


async def put_back(s):
    """Another program stores a document as it read it before, with a field of its own changed, and with `_lazymig`."""
    await s.store.replace_one({"_id": ID}, {**states_of("flat")["both current"], "legacy": 2})
    return Outcome.DONE


def put_back_between():
    """A slow writer, and one that notes, after which another program puts the document back, and notes again."""
    made = scenario((COEXIST, COEXIST), "both current", (["note"], ["note", "note"]))
    first, second = made.clients["B"]
    back = Call("update", put_back, ID, fields(note="n"))
    return evolve(made, clients={**made.clients, "B": [first, back, second]})
