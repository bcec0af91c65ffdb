"""Entities that wait for their users and entities that stay in V1, by their present value, beside every other call.

V1's door knows them all. V2's door does not know one that is left, and answers that a waiting one waits. One value per
entity is judged, as both doors see it.
"""

from attrs import evolve

import lazymig
from lazymig import Criteria
from lazymig.errors import ConversionError
from lazymig.testing.linearizability import ABSENT, Outcome, entity_model
from tests.interleaving import phases_side_by_side, subject
from tests.interleaving.phases_side_by_side import (
    BY_TALLY,
    COEXIST,
    PREPARE,
    SHADOW,
    TALLIES,
    V1_ONLY,
    V2_ONLY,
    V2_PRIMARY,
    on_side,
)
from tests.interleaving.repairs import repair
from tests.interleaving.subject import (
    ID,
    INVARIANTS,
    MIGRATION,
    OLD,
    Call,
    Count,
    PersonV1,
    PersonV2,
    common,
    done,
    found,
    gone,
    noted,
    to_v2,
    to_v2_keeping,
    v1_document,
    v2_document,
)

WAITS = "waits"
LEFT, WAITING = "Left Out", "Wait Please"


def decide(v1, convert=to_v2):
    """Let the name decide what becomes of the entity."""
    if v1.name.startswith("Left"):
        return lazymig.LEAVE
    if v1.name.startswith("Wait"):
        raise lazymig.NotYet("no last name")
    return convert(v1)


def decide_keeping(v1, previous):
    """The same, which keeps V2's note."""
    return decide(v1, lambda v1: to_v2_keeping(v1, previous))


DECIDING = evolve(MIGRATION, upgrade=decide)
KEEPING = evolve(MIGRATION, upgrade=decide_keeping)


def unmoved(why, revision, intent, **meta):
    """V2's document of an entity that has no body."""
    reason = {"reason": "no last name"} if why == "waiting" else {}
    mark = {"at": OLD} if intent > revision else {}
    return {
        "_id": ID,
        "_lazymig": {"rev": revision, "intent": intent, "gone": True, "unmoved": why, **reason, **mark, **meta},
    }


STATES = {
    "left, V1 only": ((v1_document(3, name=LEFT),), ()),
    "waiting, V1 only": ((v1_document(3, name=WAITING),), ()),
    "left": ((v1_document(2, name=LEFT),), (unmoved("left", 2, 2),)),
    "waiting": ((v1_document(2, name=WAITING),), (unmoved("waiting", 2, 2),)),
    "left, announced": ((v1_document(2, name=LEFT),), (unmoved("left", 2, 3),)),
    "waiting, announced": ((v1_document(2, name=WAITING),), (unmoved("waiting", 2, 3),)),
    "left before V1's step": ((v1_document(3),), (unmoved("left", 2, 3),)),
    "left after V1's step": ((v1_document(3, name=LEFT),), (v2_document(2, 3, OLD),)),
    "deleted half way": ((), (unmoved("waiting", 2, 3),)),
    "both clean": ((v1_document(2),), (v2_document(2, 2, note="n"),)),
    "neither": ((), ()),
    "tombstone": ((), (gone(3, 3),)),
}
#: Those in which V2 knows of every entity.
COMPLETE = tuple(name for name in STATES if "V1 only" not in name)
#: V2 is the only truth: what it has no body of does not exist.
ALONE = {"left": STATES["left"], "waiting, announced": STATES["waiting, announced"]}


# ---- the model ------------------------------------------------------------------------------------------------------


def view(value):
    """What V2's door sees of a value."""
    if value is ABSENT or value[0].startswith("Left"):
        return ABSENT
    return WAITS if value[0].startswith("Wait") else value


def two_doors(state, operation):
    """The model of one entity behind both doors; V2's calls are those whose names begin with "known"."""
    door, _, name = operation.name.rpartition(" ")
    if not door or name == "insert":
        return entity_model(state, evolve(operation, name=name))
    seen = view(state)
    return _KNOWN[name](state, seen, operation)


def _is(operation, result):
    return not operation.certain or operation.result == result


def _get(state, seen, operation):
    return _is(operation, seen), state


def _list_v2(state, seen, operation):
    # By V2's fields: a waiting entity has none.
    return _is(operation, ABSENT if seen == WAITS else seen), state


def _count_v2(state, seen, operation):
    return _is(operation, int(seen not in (ABSENT, WAITS))), state


def _exists(state, seen, operation):
    # An entity that is left counts as missing only where V2 has recorded that.
    possible = {seen is not ABSENT, state is not ABSENT}
    return not operation.certain or operation.result in possible, state


def _update(state, seen, operation):
    if seen in (ABSENT, WAITS):
        return _is(operation, Outcome.NOT_FOUND if seen is ABSENT else WAITS), state
    after = operation.argument(state)
    return _is(operation, after), after


def _replace(state, seen, operation):
    if seen is ABSENT:
        return _is(operation, Outcome.NOT_FOUND), state
    return _is(operation, operation.argument), operation.argument


def _delete(state, seen, operation):
    if seen is ABSENT:
        return _is(operation, Outcome.NOT_FOUND), state
    return _is(operation, Outcome.DONE), ABSENT


def _supply(state, seen, operation):
    if seen != WAITS:
        return _is(operation, Outcome.NOT_FOUND if seen is ABSENT else Outcome.ALREADY_EXISTS), state
    return _is(operation, operation.argument), operation.argument


_KNOWN = {
    "get": _get, "list": _list_v2, "exists": _exists, "update": _update, "replace": _replace, "delete": _delete,
    "supply": _supply, "count": _count_v2,
}  # fmt: skip


# ---- calls ----------------------------------------------------------------------------------------------------------


async def waited(answer):
    """The value of an answer of V2's door, or that the entity waits."""
    try:
        return common(await answer)
    except ConversionError as error:
        return WAITS if isinstance(error.cause, lazymig.NotYet) else f"does not convert: {error}"


async def listed(listing):
    """The value that a listing of V2's door finds, or that the entity waits."""
    errors = []
    values = await found(listing(errors.append))
    assert len(values) + len(errors) <= 1
    return WAITS if errors else values.get(ID)


async def found_many(repository):
    """The same for `get_many`."""
    many = await repository.get_many([ID], on_error="return")
    answer = many.get(ID)
    return WAITS if isinstance(answer, ConversionError) else common(answer)


def calls(amount):
    """The calls of both doors; V1's door also writes what V2 gets no body of."""
    raised = lambda value: (value[0], value[1] + amount)  # noqa: E731
    raise_tally = lambda entity: evolve(entity, tally=entity.tally + amount)  # noqa: E731
    raise_count = lambda entity: evolve(entity, count=Count(entity.count.tally + amount))  # noqa: E731
    v2 = PersonV2(ID, f"New{amount}", "Name", amount)
    made = subject.calls(amount)

    def renamed(first):
        change = lambda entity: evolve(entity, name=f"{first} {amount}")  # noqa: E731
        return Call(
            "update", lambda s: s.repository.v1.update(ID, change), ID, lambda v: (f"{first} {amount}", v[1]), common
        )

    def inserted(first):
        v1 = PersonV1(ID, f"{first} {amount}", Count(amount))
        return Call("insert", lambda s: s.repository.v1.insert(v1), ID, (v1.name, amount), common)

    written = (f"New{amount} Name", amount)
    return {
        "get": Call("known get", lambda s: waited(s.repository.get(ID)), ID),
        "get many": Call("known get", lambda s: found_many(s.repository), ID),
        "list": Call("known get", lambda s: listed(lambda note: s.repository.list(on_error=note)), ID),
        "exists": Call("known exists", lambda s: s.repository.exists(ID), ID),
        "insert": Call("known insert", lambda s: s.repository.insert(v2), ID, written, common),
        "update": Call("known update", lambda s: waited(s.repository.update(ID, raise_tally)), ID, raised),
        "replace": Call("known replace", lambda s: s.repository.replace(v2), ID, written, common),
        "supply": Call("known supply", lambda s: s.repository.supply(ID, v2), ID, written, common),
        "delete": Call("known delete", lambda s: s.repository.delete(ID), ID, observe=done),
        "V1 get": made["V1 get"],
        "V1 list": made["V1 list"],
        "V1 update": Call("update", lambda s: s.repository.v1.update(ID, raise_count), ID, raised, common),
        "V1 delete": made["V1 delete"],
        "leave": renamed("Left"),
        "wait": renamed("Wait"),
        "convert": renamed("Ada"),
        "insert left": inserted("Left"),
        "insert waiting": inserted("Wait"),
        "sweep": made["sweep"],
        "heal": made["heal"],
        "purge": made["purge"],
        "repair": Call("repair", repair),
        "count by V2": Call("known count", lambda s: s.repository.count(TALLIES), ID),
    }  # fmt: skip


NAMES = tuple(name for name in calls(0) if name != "count by V2")


# ---- checks ---------------------------------------------------------------------------------------------------------


def unmoved_is_current(world):
    """What has no body by V1's revision, with no write announced, is what V1 holds, and as `upgrade` decides."""
    truths = {document["_id"]: document for document in world.stores[0].documents()}
    for document in world.stores[1].documents():
        meta = document["_lazymig"]
        if "unmoved" not in meta or meta["rev"] != meta["intent"]:
            continue
        truth = truths.get(document["_id"])
        if truth is None or truth.get("_lazymig_rev", 0) != meta["rev"]:
            return "V2 has settled why it has no body of an entity that V1 lacks, or holds at another revision"
        first = {"left": "Left", "waiting": "Wait"}[meta["unmoved"]]
        if not truth["name"].startswith(first):
            return f"V2 has settled {meta['unmoved']!r} of an entity that upgrade decides otherwise"
    return None


RIGHT = {**INVARIANTS, "no body is current": unmoved_is_current}


async def read_afterwards(s):
    """What V1's door reads, once V2's door is seen to agree in each of its ways."""
    repository = s.repository
    value = common(await repository.v1.get(ID))
    seen = view(value)
    for _ in range(2):
        assert await waited(repository.get(ID)) == seen, "the two doors differ"
    assert await found_many(repository) == seen, "get_many differs"
    assert await repository.exists(ID) in {seen is not ABSENT, value is not ABSENT}, "exists differs"
    assert await repository.v1.exists(ID) == (value is not ABSENT), "V1's door does not know what it holds"
    alike = Criteria(v1={"count.tally": value[1]}, v2={"tally": value[1]}) if value else TALLIES
    lists_v2 = repository.phase is V2_PRIMARY
    expected = ABSENT if seen == WAITS and lists_v2 else seen
    assert await listed(lambda note: repository.list(alike, sort=BY_TALLY, on_error=note)) == expected, "list differs"
    counted = expected is not ABSENT if lists_v2 else value is not ABSENT
    assert await repository.count(alike) == counted, "count differs"
    assert await repository.v1.count(alike) == (value is not ABSENT), "V1's count differs"
    return {ID: value}


def scenario(state, clients, migration=DECIDING, make=calls, **changes):
    """Clients by lists of call names, from one starting state."""
    defaults = {"afterwards": read_afterwards, "invariants": RIGHT, "setup": subject.setup(STATES[state], migration)}
    changes.setdefault("resumes", "setup" not in changes)
    made = subject.scenario(state, clients, make=make, **{**defaults, **changes})
    return evolve(made, model=two_doors)


# ---- phases ---------------------------------------------------------------------------------------------------------

PAIRS = ((V1_ONLY, PREPARE), (PREPARE, SHADOW), (SHADOW, COEXIST), (COEXIST, V2_PRIMARY), (V2_PRIMARY, V2_PRIMARY))
SWEEPS = phases_side_by_side.SWEEPS


async def read_both(s):
    """What both sides read."""
    values = [await read_afterwards(side) for side in s.sides]
    assert values[0] == values[1], "two phases differ"
    return values[1]


async def resolve_and_read(s):
    """The same once the sweep has looked at every mark."""
    await phases_side_by_side.resolve(s)
    return await read_both(s)


def side_by_side(phases, state, clients, *, crashes=True):
    """Clients by lists of call names: the first works in the first phase, the others in the second."""
    untrusted = V1_ONLY in phases
    kept = {name: RIGHT[name] for name in ("gone has no body", "marked")} if untrusted else RIGHT
    made = scenario(
        state, clients, crashes=crashes, invariants=kept,
        setup=phases_side_by_side.setup_from(STATES[state], phases, DECIDING),
        afterwards=resolve_and_read if crashes and V2_PRIMARY in phases else read_both, resumes=True,
    )  # fmt: skip
    sides = {client: int(index > 0) for index, client in enumerate(made.clients)}
    moved = {
        client: [
            on_side(_in_phase(call, name, phases[sides[client]]), sides[client])
            for call, name in zip(some, names, strict=True)
        ]
        for (client, some), names in zip(made.clients.items(), clients, strict=True)
    }
    return evolve(made, name=f"{' beside '.join(phases)}: {made.name}", clients=moved)


def _in_phase(call, name, phase):
    return evolve(call, name="known list") if name == "list" and phase is V2_PRIMARY else call


def alone(state, clients):
    """Two processes in `v2_only`, from what the phase before has left."""
    made = phases_side_by_side.scenario((V2_ONLY, V2_ONLY), "neither", clients)
    invariants = {"gone has no body": INVARIANTS["gone has no body"]}
    setup = phases_side_by_side.setup_from(ALONE[state], (V2_ONLY, V2_ONLY), DECIDING)
    return evolve(made, setup=setup, invariants=invariants)


# ---- what V1 cannot express -----------------------------------------------------------------------------------------


async def noted_or_waits(answer):
    """The whole of V2's entity, or that it waits."""
    try:
        return noted(await answer)
    except ConversionError:
        return WAITS


def note_stays(world):
    """V2 holds the note in its body, or keeps it beside the reason why there is none."""
    for document in world.stores[1].documents():
        meta = document["_lazymig"]
        body = document if not meta.get("gone") else meta.get("kept", {}).get("body", {})
        if body.get("note") != "n":
            return "V2 lost the note"
    return None


def noted_scenario(clients, **changes):
    """From an entity with a note that only V2 holds, through calls that keep it: nobody dies."""
    made = {**RIGHT, "note": note_stays}
    return evolve(scenario("both clean", clients, KEEPING, crashes=False, invariants=made, **changes), observations={})
