"""Repair beside other clients: programs that write V1 without lazymig, and the follower or verifier that repairs after.

Between such a write and its repair V2 may answer with what V1 held before, so histories are not judged here. What is
judged is the end: whatever crossed, both sides agree once the repair that follows the last write is over.
"""

from attrs import evolve

from lazymig import protocol
from lazymig.repository import calls_of
from tests.interleaving import outsiders, subject
from tests.interleaving.subject import ID, INVARIANTS, OLD, Call, read_afterwards, v1_document, v2_document

STATES = {
    **{
        name: subject.STATES[name]
        for name in (
            "neither", "V1 only, without a revision", "V1 only", "both clean", "dirty before V1's step",
            "dirty after V1's step", "tombstone", "placeholder with V1", "placeholder behind V1",
            "placeholder without V1", "deleted half way",
        )
    },
    "orphan": ((), (v2_document(2, 2, note="n"),)),
    "V2 wrong at V1's revision": ((v1_document(2, tally=7),), (v2_document(2, 2, note="n"),)),
    "V2 ahead of its intent": ((v1_document(2, tally=7),), (v2_document(9, 1, OLD, note="n"),)),
    "V2 ahead of V1": ((v1_document(tally=7),), (v2_document(4, 4, note="n"),)),
}  # fmt: skip
#: Those in which the invariant holds at the beginning.
SOUND = tuple(name for name in STATES if name in subject.STATES)


async def repair(s):
    """What the follower does at an event, and the verifier with a mismatch."""
    await protocol.repair(calls_of(s.repository).pair, ID)


async def replace_outside(s):
    """A program that replaces the document, and drops the revision with all fields that it does not know."""
    change = {"$set": {"name": "Out Side", "count": {"tally": 9}}, "$unset": {"_lazymig_rev": "", "legacy": ""}}
    await s.v1.update_one({"_id": ID}, change)


async def rename_outside(s):
    """A program that sets one field, which is not the one that the clients' updates set."""
    await s.v1.update_one({"_id": ID}, {"$set": {"name": "Out Side"}})


async def raise_ahead_outside(s):
    """A program that knows revisions and announces none, such as a process that is still in `v1_only`."""
    await s.v1.update_one({"_id": ID}, {"$inc": {"_lazymig_rev": 1, "count.tally": 50}})


async def insert_outside(s):
    """A program that inserts the entity where V1 lacks it."""
    if await s.v1.find_one({"_id": ID}) is None:
        await s.v1.update_one({"_id": ID}, {"$setOnInsert": {"name": "Out Side", "count": {"tally": 8}}}, upsert=True)


OUTSIDE = {
    "outside": lambda s: outsiders.raise_outside(s, 1000),
    "outside rename": rename_outside,
    "outside delete": outsiders.delete_outside,
    "outside replace": replace_outside,
    "outside ahead": raise_ahead_outside,
    "outside insert": insert_outside,
}


def unjudged(call):
    """The call without its place in a history."""
    return Call(f"{call.name} unjudged", call.run)


def all_calls(amount):
    """The calls of a repository, those of outside programs, and the repair."""
    made = {name: unjudged(call) for name, call in subject.calls(amount).items()}
    return {**made, **{name: Call(name, run) for name, run in OUTSIDE.items()}, "repair": Call("repair", repair)}


async def repair_and_read(s):
    """What is read once the follower that died, or its successor, has handled the event again."""
    await repair(s)
    return await read_afterwards(s)


def any_history(state, _operation):
    """A model in which every history is right: only the end is judged."""
    return True, state


def scenario(state, clients, *, crashes=False, make=all_calls, **changes):
    """Clients by lists of call names. With `crashes`, any of them may die, and a last repair follows."""
    kept = ("gone has no body", "marked")
    made = subject.scenario(
        state, clients, make=make, setup=subject.setup(STATES[state]),
        invariants={name: INVARIANTS[name] for name in kept}, resumes=True,
    )  # fmt: skip
    afterwards = repair_and_read if crashes else read_afterwards
    return evolve(
        made, name=f"{made.name}, repaired", afterwards=afterwards, crashes=crashes, model=any_history,
        **changes,
    )  # fmt: skip


def judged(state, clients):
    """The same without outside writes, from a state in which the invariant holds: histories and states are judged."""

    def make(amount):
        return {**subject.calls(amount), "repair": Call("repair", repair)}

    return subject.scenario(state, clients, make=make)
