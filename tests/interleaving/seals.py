"""The seal beside stale clients, which were invoked in `v2_primary` and wake up at any time, also after the switch.

One client, the operator, makes the seal and then some calls of its own: in `v2_only` if it is sealed, else in
`v2_primary`. The fences are put up by the statements that the server gets; the explorer's collections know validators.
"""

from collections.abc import Mapping

from attrs import evolve, frozen
from pymongo.errors import WriteError

from lazymig.errors import LazymigError, PhaseError
from lazymig.protocol import sealing
from lazymig.protocol.seals import Fleet, Terms
from lazymig.repository import calls_of
from lazymig.stores.fencing import Own, find_fencing, is_refused_by_fence
from lazymig.testing.explore import Call, World
from lazymig.testing.linearizability import Outcome, entity_model
from lazymig.testing.memory_collection import MemoryCollection
from tests.interleaving import phases_side_by_side as phases
from tests.interleaving import subject
from tests.interleaving.phases_side_by_side import V2_ONLY, V2_PRIMARY, alone_truth
from tests.interleaving.running import Task
from tests.interleaving.subject import (
    INVARIANTS,
    MIGRATION,
    STATES,
    Subject,
    opened,
)

#: What one process after another may have left in `v2_primary` by the time of the seal.
LEFT = {
    name: STATES[name]
    for name in (
        "neither", "both clean", "dirty before V1's step", "dirty after V1's step", "tombstone", "placeholder with V1",
        "placeholder without V1", "deleted half way",
    )
}  # fmt: skip
#: What an attempt that died leaves beside that: V2's fence, or both.
FENCED = {
    f"{name}, {which} fenced": (name, sides)
    for name in ("both clean", "dirty before V1's step", "placeholder without V1")
    for which, sides in (("V2", ("v2",)), ("both", ("v1", "v2")))
}
#: What a call answers that the database, or the process's own lease, refused: nothing has happened.
REFUSED = "refused"
PHASE = {"_id": "phase", "phase": "v2_primary"}


@frozen
class Sealing(phases.SideBySide):
    """What calls are made on: the stale side, the side of `v2_only`, and the record of the phase."""

    record: MemoryCollection

    @property
    def switched(self):
        """Whether the phase is `v2_only`: what a call learns that begins now."""
        return self.record.stored("phase")["phase"] == "v2_only"

    @property
    def fences(self):
        """The fences of the two collections."""
        return sealing.fences_of(calls_of(self.sides[0].repository).pair)

    async def switch(self):
        """Record the phase, and what V1 is at this moment."""
        held = {"v1": list(self.sides[0].v1.documents())}
        change = {"$set": {"phase": "v2_only", "held": held}}
        return bool((await self.record.update_one({"_id": "phase", "phase": "v2_primary"}, change)).matched_count)


async def nothing():
    """Hold nothing: a stale process hears of no hold, and acknowledges none."""
    return 0.0


async def seal(s):
    """The operator's."""
    pair = calls_of(s.sides[0].repository).pair
    fleet = Fleet(hold=nothing, switch=s.switch, release=nothing)
    made = await sealing.seal(pair, s.fences, fleet, Terms(key="1", within_s=None, at_once=1))
    assert made.sealed == s.switched, "the answer is wrong"
    stores = [s.sides[0].v2, *([s.sides[0].v1] if s.fences.v1 else [])]
    fenced = {find_fencing(store.options) is not None for store in stores}
    assert fenced == {made.fenced} == {made.sealed}, "the fences are not as the answer says"
    return made


def setup(state, migration=MIGRATION):
    """A function that gives the world of one starting state."""
    state, fenced = FENCED.get(state, (state, ()))
    v1, v2 = (MemoryCollection(name, some) for name, some in zip(("V1", "V2"), LEFT[state], strict=True))
    for side in fenced:
        {"v1": v1, "v2": v2}[side].options = Own().fenced(side, "an attempt that died").arguments
    record = MemoryCollection("record", [PHASE])
    clock = subject.FixedClock()
    sides = tuple(Subject(opened(migration, v1, v2, clock, phase=phase), v1, v2) for phase in (V2_PRIMARY, V2_ONLY))
    world = World((v1, v2, record), Sealing(sides, record))
    return subject.set_back_for_each_run(world, clock)


# ---- calls ----------------------------------------------------------------------------------------------------------


async def seal_alone(s):
    """The operator's, beside whom nobody is: nothing keeps the phase from being switched."""
    assert (await seal(s)).sealed, "nobody is late, and the seal was given up"


def _refusable(call, run):
    """The call; one that was refused says so, and one of which nobody knows is uncertain."""

    async def answered(s):
        try:
            return await run(s)
        except PhaseError:
            return REFUSED
        except WriteError as error:
            if not is_refused_by_fence(error):
                raise
            return REFUSED
        except LazymigError as error:
            if "V2 refuses the body" not in str(error):
                raise
            return Outcome.UNCERTAIN

    def observe(result):
        if result == REFUSED:
            return {} if call.name == "list" else REFUSED
        return call.observe(result)

    return evolve(call, run=answered, observe=observe)


def stale(call):
    """The call by a process that is still in `v2_primary`: its lease is looked at when the call is invoked."""

    async def run(s):
        if s.switched:
            return Outcome.UNCERTAIN if call.name == "list" else REFUSED
        await s.sides[0].repository._calls.pair.clock.sleep(0)  # invoked, and paused
        return await call.run(s.sides[0])

    return _refusable(call, run)


def current(call):
    """The call by a process that knows the phase."""
    return _refusable(call, lambda s: call.run(s.sides[int(s.switched)]))


def model(state, operation):
    """A call that was refused changes nothing."""
    return (True, state) if operation.result == REFUSED else entity_model(state, operation)


# ---- checks ---------------------------------------------------------------------------------------------------------


def truth(world):
    """V2's content once the phase is switched, V1's before."""
    return alone_truth(world) if world.subject.switched else subject.truth(world)


def _before_the_switch(check):
    return lambda world: None if world.subject.switched else check(world)


def settled(world):
    """Once the phase is switched, V2 is clean or gone, and stays so."""
    if not world.subject.switched:
        return None
    metas: list[Mapping[str, int]] = [document["_lazymig"] for document in world.stores[1].documents()]
    return "a write is announced in v2_only" if any(meta["rev"] != meta["intent"] for meta in metas) else None


def v1_stays(world):
    """Once the phase is switched, V1 is not written."""
    if not world.subject.switched:
        return None
    held = world.subject.record.stored("phase")["held"]["v1"]
    return None if held == list(world.stores[0].documents()) else "V1 was written after the seal"


CHECKS = {
    **{name: _before_the_switch(check) for name, check in INVARIANTS.items() if name != "gone has no body"},
    "gone has no body": INVARIANTS["gone has no body"],
    "settled": settled,
    "V1 stays": v1_stays,
}


async def end_and_read(s):
    """What is read in the end: where the operator has died before the switch, somebody lifts the fences first."""
    if s.switched:
        return await phases.read_afterwards(phases.SideBySide((s.sides[1], s.sides[1])))
    await sealing.lift(s.fences)
    assert not any(barrier.stands for barrier in await sealing.look(s.fences)), "a fence stands"
    return await phases.resolve_and_read(phases.SideBySide((s.sides[0], s.sides[0])))


def scenario(state, clients, *, crashes=True, **changes):
    """Clients by lists of call names: the last one is the operator, whose seal comes first; the others are stale."""
    *late, mine = clients
    mine_first = Call("seal", seal if late else seal_alone)
    made = subject.scenario(
        state, [*late, mine], make=phases.all_calls, setup=setup(state), truth=truth, afterwards=end_and_read,
        invariants=CHECKS, crashes=crashes, model=model, **changes,
    )  # fmt: skip
    calls = dict(made.clients)
    operator = list(calls)[-1]
    for name, some in calls.items():
        wrapped = [current(call) if name == operator else stale(call) for call in some]
        calls[name] = [mine_first, *wrapped] if name == operator else wrapped
    return evolve(made, name=f"stale beside the seal: {made.name}", clients=calls)


@frozen
class SealTask(Task):
    """One scenario, by values that a process can be sent."""

    crashes: bool = True

    def scenario(self):
        """The scenario itself."""
        return scenario(self.state, self.clients, crashes=self.crashes)
