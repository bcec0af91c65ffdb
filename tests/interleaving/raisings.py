"""The raise of all intents before `shadow`: beside it a client in `prepare`, after it calls in `shadow`.

V2 holds what an earlier attempt has left, and V1 has overtaken it.
"""

from attrs import evolve, frozen

from lazymig.protocol.distrusting import raise_all_intents
from lazymig.repository import calls_of
from lazymig.testing.explore import Call, World
from lazymig.testing.memory_collection import MemoryCollection
from tests.interleaving import phases_side_by_side as phases
from tests.interleaving import subject
from tests.interleaving.phases_side_by_side import COEXIST, PREPARE, SHADOW, UNTRUSTED
from tests.interleaving.subject import INVARIANTS, MIGRATION, Subject, opened


@frozen
class Raising(phases.SideBySide):
    """What calls are made on: the sides of `prepare`, `shadow` and `coexist`, and whether the raise is over."""

    record: MemoryCollection

    @property
    def raised(self):
        """Whether the raise is over."""
        return self.record.stored("raise") is not None


async def raise_all(s):
    """The operator's step."""
    await raise_all_intents(calls_of(s.sides[0].repository).pair, batch=1)
    await s.record.insert_one({"_id": "raise"})


def setup(state):
    """A function that gives the world of one starting state."""
    v1, v2 = (MemoryCollection(name, some) for name, some in zip(("V1", "V2"), UNTRUSTED[state], strict=True))
    record = MemoryCollection("record")
    clock = subject.FixedClock()
    sides = tuple(
        Subject(opened(MIGRATION, v1, v2, clock, phase=phase), v1, v2) for phase in (PREPARE, SHADOW, COEXIST)
    )
    world = World((v1, v2, record), Raising(sides, record))
    return subject.set_back_for_each_run(world, clock)


def once_raised(check):
    """The check, from the end of the raise on."""
    return lambda world: check(world) if world.subject.raised else None


CHECKS = {**INVARIANTS, "clean is V1": once_raised(INVARIANTS["clean is V1"])}


async def trust_and_read(s):
    """What is read once V2 answers: an operator that died raises again first."""
    if not s.raised:
        await raise_all(s)
    return await phases.read_afterwards(phases.SideBySide((s.sides[1], s.sides[2])))


def scenario(state, clients):
    """Clients by lists of call names: the first one is in `prepare`, and the second raises and goes on in `shadow`."""
    made = subject.scenario(
        state,
        clients,
        make=phases.all_calls,
        setup=setup(state),
        afterwards=trust_and_read,
        invariants=CHECKS,
        resumes=True,
    )
    (one, early), (two, later) = made.clients.items()
    calls = {
        one: [phases.on_side(call, 0) for call in early],
        two: [Call("raise all", raise_all), *(phases.on_side(call, 1) for call in later)],
    }
    return evolve(made, name=f"prepare beside the raise: {made.name}", clients=calls)
