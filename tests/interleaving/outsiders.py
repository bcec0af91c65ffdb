"""Checked mode: clients that know nothing of lazymig write V1 beside it, and V1 wins, even where V2 is clean."""

from attrs import evolve

from tests.interleaving import subject
from tests.interleaving.subject import (
    ID,
    INVARIANTS,
    MIGRATION,
    OLD,
    Call,
    Outcome,
    calls,
    setup,
    v1_document,
    v2_document,
)

STATES = {
    **{
        name: subject.STATES[name]
        for name in ("V1 only", "both clean", "dirty before V1's step", "placeholder with V1")
    },
    "V2 behind V1": ((v1_document(2, tally=7),), (v2_document(2, 2, note="n"),)),
    "V2 behind V1, dirty": ((v1_document(2, tally=7),), (v2_document(2, 3, OLD, note="n"),)),
}


async def raise_outside(s, amount):
    """A statement of a client that knows no revision."""
    result = await s.v1.update_one({"_id": ID}, {"$inc": {"count.tally": amount}})
    return Outcome.DONE if result.matched_count else Outcome.NOT_FOUND


async def delete_outside(s):
    """Another one."""
    result = await s.v1.delete_one({"_id": ID})
    return Outcome.DONE if result.deleted_count else Outcome.NOT_FOUND


def all_calls(amount):
    """The calls of a checked repository, and the outsider's."""

    def raised(value):
        return (value[0], value[1] + amount)

    outside = {
        "outside": Call("update", lambda s: raise_outside(s, amount), ID, raised),
        "outside delete": Call("delete", delete_outside, ID),
    }
    return {**calls(amount), **outside}


NAMES = tuple(calls(0))


def scenario(state, clients, **changes):
    """Clients by lists of call names, from one starting state; a clean V2 document may be behind V1 here."""
    invariants = {name: check for name, check in INVARIANTS.items() if name != "clean is V1"}
    made = subject.scenario(
        state,
        clients,
        make=all_calls,
        setup=setup(STATES[state], MIGRATION, checked=True),
        invariants=invariants,
        resumes=True,
    )
    return evolve(made, name=f"{made.name}, checked", **changes)
