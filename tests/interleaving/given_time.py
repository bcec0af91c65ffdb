"""Writers of fields that V1 cannot express, where each body comes within the time that others wait for it.

A writer waits a moment for a body that is due, since its writer may be dead. Here nobody dies, and time passes only
where nobody else can move: a client that sleeps goes on once V2 is not behind V1, or once all others sleep or have
ended. So what V2 alone holds must survive every acknowledged write that did not change it, as if V1 could express it.
"""

from collections import Counter
from types import SimpleNamespace

from attrs import evolve

from lazymig import Phase
from lazymig.repository import calls_of
from lazymig.stores.records import Applied, Partition
from lazymig.sweeping.moving import Mover
from lazymig.sweeping.reconverting import Reconverter
from lazymig.testing.explore import Call
from lazymig.testing.linearizability import Outcome
from tests.interleaving import subject
from tests.interleaving.grouped import grouped_scenario
from tests.interleaving.subject import (
    ID,
    KEEPING,
    OLD,
    Count,
    PersonV2,
    noted,
    noted_calls,
    noted_scenario,
    setup,
    v1_document,
    v2_document,
)


def no_body_is_due(world):
    """Whether V2 is not behind V1, and buries nothing that V1 holds."""
    v1, v2 = (store.stored(ID) for store in world.stores)
    if v1 is None or v2 is None:
        return True
    meta, revision = v2["_lazymig"], v1.get("_lazymig_rev", 0)
    return meta["rev"] >= revision and not meta.get("gone")


def done(_result):
    """V1's door does not see what V2 alone holds."""
    return Outcome.DONE


async def pass_at_once(*_arguments):
    """What a sweep waits for, which comes at once."""
    return True


async def reconvert(s):
    """A sweep's pass over the bodies of older conversions."""
    pair, counts = calls_of(s.repository).pair, Counter()
    batches = SimpleNamespace(size=10, note_batch=lambda *_: None)
    throttle = SimpleNamespace(wait_for_page=pass_at_once, wait_for_documents=pass_at_once, batches=batches)
    mover = Mover(pair, None, counts, dry_run=False)
    async for _ in Reconverter(pair, mover, throttle, counts, dry_run=False).pages(Partition("int", None, None)):
        pass


def calls(amount):
    """The calls of both doors, judged by the whole of V2's entity."""
    entity = PersonV2(ID, f"New{amount}", "Name", amount, f"b{amount}")

    def raise_count(v1):
        return evolve(v1, count=Count(v1.count.tally + amount))

    def raised(value):
        return (value[0], value[1], value[2] + amount, value[3])

    return {
        **noted_calls(amount),
        "insert": Call("insert", lambda s: s.repository.insert(entity), ID, noted(entity), done),
        "replace": Call("replace", lambda s: s.repository.replace(entity), ID, noted(entity), noted),
        "delete": Call("delete", lambda s: s.repository.delete(ID), ID, observe=done),
        "failed update": Call("failed update", subject.failed_update),
        "reconvert": Call("reconvert", reconvert),
        "V1 update": Call("update", lambda s: s.repository.v1.update(ID, raise_count), ID, raised, done),
    }


#: The same migration, after its conversion has got a new revision.
REVISED = evolve(KEEPING, revision=2)


def scenario(state, clients, *, phase=Phase.COEXIST, migration=KEEPING):
    """Clients by lists of call names, from one starting state."""
    before = setup(state, migration, phase=phase)
    made = noted_scenario(state, clients, make=calls, setup=before, wakes=no_body_is_due)
    return evolve(made, name=f"{made.name}, given time")


#: Two writers have announced and moved V1 so long ago that they are taken for dead.
SLOW = ((v1_document(4, tally=5),), (v2_document(2, 4, OLD, note="n"),))


async def store_at_last(s):
    """The first of these stores its body, if nobody has taken V2 past it."""
    body = {"first": "Ada", "last": "Ada", "tally": 5, "note": "slow"}
    stored = await calls_of(s.repository).pair.bodies.apply(ID, body, 3, own=True)
    return Outcome.DONE if stored is Applied.APPLIED else Outcome.UNCERTAIN


def slow_scenario(*calls_beside):
    """A writer that is slower than others wait, beside a client: what it was in time to store stays."""
    made = scenario(SLOW, [["get"], calls_beside])
    first, *_ = made.clients
    late = Call("update", store_at_last, ID, lambda value: (*value[:3], "slow"), lambda outcome: outcome)
    return evolve(made, name=f"a slow writer | {', '.join(calls_beside)}", clients={**made.clients, first: [late]})


def in_bulks(state, clients):
    """The same, where all write in bulks."""
    return grouped_scenario(state, clients, scenario, KEEPING)
