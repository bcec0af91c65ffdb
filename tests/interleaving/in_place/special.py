"""Scenarios with migrations and documents of their own: histories, fields of somebody else, two releases."""

from attrs import evolve, frozen

from lazymig.errors import ConversionError
from lazymig.testing.explore import Call
from tests.interleaving.in_place.people import (
    INSIDE,
    KEEPING,
    PersonV2,
    to_v2,
    to_v2_keeping,
    v1_part,
    v2_part,
    whole,
)
from tests.interleaving.in_place.scenarios import COEXIST, scenario
from tests.interleaving.subject import ID


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


def foreign_stays(clients=(("get", "update"), ("V1 update", "replace"))):
    """Calls on a document that has a field of V2's name, which lazymig has not stored."""
    made = scenario((COEXIST, COEXIST), {"_id": ID, **v1_part(), "first": "theirs"}, clients)
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
