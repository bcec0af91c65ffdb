"""Processes of two phases beside each other: one client works in the first phase, the other in the second.

Only what a fleet may do is explored: the same phase, or two adjacent ones. `v2_primary` beside `v2_only` is left out:
between them the point where writes are ordered moves from V1 to V2, which is only defined once the database refuses the
late writes of the phase before.
"""

from collections import Counter
from datetime import timedelta

from attrs import evolve, frozen

from lazymig import Criteria, Phase
from lazymig.repository import calls_of
from lazymig.sweeping.marks import resolve_mark
from lazymig.sweeping.moving import Mover
from tests.interleaving import subject
from tests.interleaving.repairs import repair
from tests.interleaving.running import Task
from tests.interleaving.subject import (
    CLOCK,
    ID,
    INVARIANTS,
    MIGRATION,
    OLD,
    STATES,
    Call,
    Subject,
    common,
    found,
    gone,
    opened,
    v1_document,
    v2_document,
)

V1_ONLY, PREPARE, SHADOW, COEXIST, V2_PRIMARY, V2_ONLY = Phase
PAIRS = (
    (V1_ONLY, PREPARE), (PREPARE, PREPARE), (PREPARE, SHADOW), (SHADOW, SHADOW), (SHADOW, COEXIST),
    (COEXIST, V2_PRIMARY), (V2_PRIMARY, V2_PRIMARY), (V2_ONLY, V2_ONLY),
)  # fmt: skip

#: Before anybody trusts V2: it is empty, holds announcements, or what an earlier attempt has left and V1 has overtaken.
UNTRUSTED = {
    **{name: STATES[name] for name in ("neither", "V1 only, without a revision", "V1 only", "placeholder with V1")},
    "placeholder behind V1": STATES["placeholder behind V1"],
    "placeholder without V1": STATES["placeholder without V1"],
    "outdated V2": ((v1_document(5, tally=5),), (v2_document(2, 2),)),
    "V2 of a deleted entity": ((), (v2_document(2, 2),)),
    "outdated V2, announced": ((v1_document(5, tally=5),), (v2_document(2, 3, OLD),)),
}
#: V2 holds every entity, and what calls that died have left.
COMPLETE = {
    name: STATES[name]
    for name in (
        "neither", "both clean", "dirty before V1's step", "dirty after V1's step", "tombstone", "placeholder with V1",
        "placeholder without V1", "deleted half way",
    )
}  # fmt: skip
#: V2 is the only truth. V1 is what it was when its last writer stopped.
ALONE = {
    "neither": ((), ()),
    "V2 alone": ((), (v2_document(3, 3),)),
    "V1 left behind": ((v1_document(2, tally=7),), (v2_document(4, 4),)),
    "announced too late": ((v1_document(4),), (v2_document(4, 5, OLD),)),
    "tombstone": ((v1_document(3),), (gone(5, 5),)),
    "placeholder": ((), (gone(-1, 1),)),
}


def states_of(phases):
    """The states in which processes of these two phases may meet."""
    if V2_ONLY in phases:
        return ALONE
    if V2_PRIMARY in phases:
        return COMPLETE
    return UNTRUSTED if V1_ONLY in phases or set(phases) == {PREPARE} else STATES


@frozen
class SideBySide:
    """What the calls of the two clients are made on."""

    sides: tuple[Subject, Subject]

    @property
    def later(self):
        """The side in the later phase."""
        return self.sides[1]


def setup(state, phases, migration=MIGRATION, **options):
    """A function that gives the world of one starting state, with a repository for each phase."""
    return setup_from(states_of(phases)[state], phases, migration, **options)


def setup_from(documents, phases, migration=MIGRATION, **options):
    """The same from the documents of V1 and V2."""

    def both(v1, v2, clock):
        sides = (Subject(opened(migration, v1, v2, clock, phase=phase, **options), v1, v2) for phase in phases)
        return SideBySide(tuple(sides))

    return subject.setup(documents, subject=both)


# ---- calls ----------------------------------------------------------------------------------------------------------

TALLIES = Criteria(v1={"count.tally": {"$gte": 0}}, v2={"tally": {"$gte": 0}})
BY_TALLY = ("count.tally", "tally")


def until_stored(call):
    """The call, which must be in V2 once it is acknowledged. For a client beside which nobody writes."""

    async def run(s):
        answer = await call.run(s)
        v1, v2 = s.v1.stored(ID), s.v2.stored(ID)
        assert v2["_lazymig"]["rev"] == v1["_lazymig_rev"], "acknowledged, and V2 does not have it"
        return answer

    return evolve(call, run=run)


def all_calls(amount):
    """Every call of both doors, with a listing by a field's value and order."""
    made = subject.calls(amount)
    made["list by"] = Call("list", lambda s: found(s.repository.list(TALLIES, sort=BY_TALLY)))
    made["repair"] = Call("repair", repair)
    made["update until stored"] = until_stored(made["update"])
    return made


#: What only a process may do whose phase fills V2.
SWEEPS = ("sweep", "heal", "purge", "repair")
NAMES = tuple(name for name in all_calls(0) if name != "update until stored")
SOME = ("get", "insert", "update", "delete", "list by", "V1 update")


def names_of(phase, names=NAMES):
    """The calls that a process of this phase makes."""
    return [name for name in names if phase in (SHADOW, COEXIST, V2_PRIMARY) or name not in SWEEPS]


def on_side(call, side):
    """The call, made by the client on this side."""
    return evolve(call, run=lambda s: call.run(s.sides[side]))


# ---- checks ---------------------------------------------------------------------------------------------------------


def alone_truth(world):
    """V2's content, where V2 is the only truth."""
    document = world.stores[1].stored(ID)
    if document is None or document["_lazymig"].get("gone"):
        return {ID: None}
    return {ID: (f"{document['first']} {document['last']}", document["tally"])}


def holds_no_new_body(world):
    """Nothing is put into V2 that was not there: a later process would take it for V1's."""
    document = world.stores[1].stored(ID)
    if document is None or document["_lazymig"].get("gone") or document["_lazymig"]["rev"] == 2:
        return None
    return "V2 was given a body, beside a process that announces nothing"


def v1_stays(before):
    """V1 is not written."""
    return lambda world: None if tuple(world.stores[0].documents()) == tuple(before) else "V1 was written"


def invariants_of(phases, state):
    """What holds in every state of a run of these two phases."""
    if V2_ONLY in phases:
        return {"gone has no body": INVARIANTS["gone has no body"], "V1 stays": v1_stays(ALONE[state][0])}
    if V1_ONLY in phases or set(phases) == {PREPARE}:
        kept = {name: INVARIANTS[name] for name in ("gone has no body", "unknown fields", "marked")}
        return {**kept, "no new body": holds_no_new_body}
    return INVARIANTS


async def read_afterwards(s):
    """What the later phase answers, by each of its ways to find an entity, and what both phases agree on."""
    later = s.later.repository
    first = common(await later.get(ID))
    tally = -1 if first is None else first[1]
    alike, other = (Criteria(v1={"count.tally": one}, v2={"tally": one}) for one in (tally, tally + 1))
    held = {} if first is None else {ID: first}
    assert await found(later.list(alike, sort=BY_TALLY)) == held, "the listing differs from the read"
    assert await found(later.list(other)) == {}, "the listing finds what does not match"
    assert [await later.count(alike), await later.count(other)] == [len(held), 0], "the count differs"
    for side in s.sides:
        for door in (side.repository, side.repository.v1):
            assert common(await door.get(ID)) == first, "two phases or doors differ"
            assert await found(door.list()) == held, "a listing differs"
            assert await door.exists(ID) == bool(held), "exists differs"
    assert {id: common(one) for id, one in (await later.get_many([ID])).items()} == held, "get_many differs"
    return {ID: first}


async def resolve_and_read(s):
    """The same once the sweep has looked at every mark.

    Of an insert that died between V1 and V2, beside a delete that drew the higher ticket, a tombstone may be left over
    an entity that exists. Reads by id ask V1, and heal it once it is some seconds old; a listing misses it until then.
    """
    await resolve(s)
    return await read_afterwards(s)


async def resolve(s):
    """Look at every mark, as the sweep does."""
    pair, counts = calls_of(s.later.repository).pair, Counter()
    mover = Mover(pair, None, counts, dry_run=False)
    for seen in await pair.ledger.marks(CLOCK.now() + timedelta(seconds=1), 10, None):
        await resolve_mark(pair, mover, seen, subject.GRACE)


def scenario(phases, state, clients, *, crashes=True, **changes):
    """Clients by lists of call names: the first works in the first phase, the others in the second."""
    resolved = crashes and V2_PRIMARY in phases
    # It looks at the stores without a statement.
    looks = any("update until stored" in names for names in clients)
    made = subject.scenario(
        state, clients, make=all_calls, setup=setup(state, phases), invariants=invariants_of(phases, state),
        afterwards=resolve_and_read if resolved else read_afterwards, crashes=crashes, resumes=not looks,
        **({"truth": alone_truth} if V2_ONLY in phases else {}), **changes,
    )  # fmt: skip
    sides = {client: int(index > 0) for index, client in enumerate(made.clients)}
    moved = {client: [on_side(call, sides[client]) for call in calls] for client, calls in made.clients.items()}
    return evolve(made, name=f"{' beside '.join(phases)}: {made.name}", clients=moved)


@frozen
class PhasesTask(Task):
    """One scenario of two phases, by values that a process can be sent."""

    phases: tuple[Phase, Phase] = (COEXIST, COEXIST)
    crashes: bool = True

    def scenario(self):
        """The scenario itself."""
        changes = {"cancellations": self.cancellations, "crashes": self.crashes}
        return scenario(self.phases, self.state, self.clients, **changes)
