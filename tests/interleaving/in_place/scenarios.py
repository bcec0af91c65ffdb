"""Scenarios on one collection whose documents hold both shapes, with the invariants and the reads at the end."""

from attrs import evolve, frozen
from pymongo.errors import DuplicateKeyError

from lazymig import Criteria, Phase, Repository
from lazymig.errors import AlreadyExists, NotFound
from lazymig.testing.explore import Call, FixedClock, Scenario, World
from lazymig.testing.linearizability import Outcome
from lazymig.testing.memory_collection import MemoryCollection
from tests.by_field import UNSEEN, kept
from tests.interleaving.failing_over import FAIL_OVER, Primary, concerned, fail_over
from tests.interleaving.in_place import clients as made
from tests.interleaving.in_place.clients import BY_TALLY, SideBySide, by_field, found, found_many, split
from tests.interleaving.in_place.people import LAYOUTS, SHAPES, states_of, truth_of, value_of
from tests.interleaving.running import Task
from tests.interleaving.subject import ID, set_back_for_each_run

V1_ONLY, SHADOW, COEXIST, V2_PRIMARY, V2_ONLY = (phase for phase in Phase if phase is not Phase.PREPARE)
#: What a fleet may run side by side.
PAIRS = (
    (V1_ONLY, V1_ONLY), (V1_ONLY, SHADOW), (SHADOW, SHADOW), (SHADOW, COEXIST), (COEXIST, COEXIST),
    (COEXIST, V2_PRIMARY), (V2_PRIMARY, V2_PRIMARY), (V2_PRIMARY, V2_ONLY), (V2_ONLY, V2_ONLY),
)  # fmt: skip
OUTCOMES = {
    AlreadyExists: Outcome.ALREADY_EXISTS, NotFound: Outcome.NOT_FOUND, DuplicateKeyError: Outcome.ALREADY_EXISTS
}  # fmt: skip


def opened(migration, store, phase, clock):
    """A repository as the explorer drives it: without tasks and timers."""
    return Repository.in_place(migration, store, phase=phase, coalesce=False, timeout_s=None, clock=clock)


def setup(document, migrations, phases):
    """A function that gives the world of one starting state."""
    clock, store = FixedClock(), MemoryCollection("people", () if document is None else (document,))
    return set_back_for_each_run(World((store,), side_by_side(store, migrations, phases, clock)), clock)


def setup_failing_over(document, migrations, phases):
    """A function that gives the same world, whose primary another member may take over from."""
    clock, store = FixedClock(), Primary("people", () if document is None else (document,))
    with concerned():
        sides = side_by_side(store, migrations, phases, clock)
    return set_back_for_each_run(World((store, store.majority), sides), clock)


def side_by_side(store, migrations, phases, clock):
    """A repository for each phase, and one that reads.

    That one answers by V2's part: `v1_only` does not, and the phase after it finds what has become of it.
    """
    with_reader = zip(
        (*migrations, migrations[-1]), (*phases, max(phases[-1], SHADOW, key=list(Phase).index)), strict=True
    )
    sides = tuple(opened(one, store, phase, clock) for one, phase in with_reader)
    return SideBySide(sides, store)


# ---- checks ---------------------------------------------------------------------------------------------------------


def trusted_is_v1(layout, conv=1):
    """Where V2's part may answer, it is what V1's part beside it converts to."""

    def check(world):
        document = world.stores[0].stored(ID)
        if document is None:
            return None
        meta = document.get("_lazymig", {})
        if meta.get("alone") or meta.get("of") != SHAPES[layout].fingerprint(document) or meta.get("conv", 1) < conv:
            return None
        v1, v2 = truth_of(layout, document), truth_of(layout, {**document, "_lazymig": {**meta, "alone": "people"}})
        return None if v1 == v2 else f"V2's part would answer {v2}, and V1's part beside it is {v1}"

    return check


def legacy_stays(world):
    """What no class knows stays where it is, unless another program or an insert put a new document there."""
    document = world.stores[0].stored(ID)
    if document is None or not str(document.get("name", "")).startswith("Ada"):
        return None
    both = "legacy" in document and "legacy" in document["count"]
    return None if both else "a field that no class knows was lost"


def exact_part(layout):
    """V2's part has no field of an earlier one, and no field of V2's stands outside of it."""
    names = {"first", "last", "tally", "note"}

    def check(world):
        document = world.stores[0].stored(ID)
        if document is None:
            return None
        known = {"_id", "_lazymig", "name", "count", "email", "legacy", *(names if layout == "flat" else {"v2"})}
        return None if set(document) <= known else f"there are fields of nobody: {set(document) - known}"

    return check


def invariants_of(layout, conv=1):
    """What holds in every state."""
    return {
        "trusted is V1": trusted_is_v1(layout, conv), "unknown fields": legacy_stays, "exact part": exact_part(layout),
    }  # fmt: skip


async def read_afterwards(s):
    """What every process answers, by each of its ways to find an entity, once a read has stored what was lacking."""
    first = value_of(await s.sides[-1].get(ID))
    held = by_field(first)
    # In `v1_only` V2's part does not answer, so the note is not seen there.
    for side in s.sides:
        blind = side.phase is V1_ONLY
        for answer in (
            by_field(value_of(await side.get(ID))), await found_many(side.get_many([ID])), await found(side.list()),
            by_field(value_of(await side.v1.get(ID))), await found_many(side.v1.get_many([ID])),
            await found(side.v1.list()),
        ):  # fmt: skip
            seen = {name: one for name, one in answer.items() if one != UNSEEN and not (blind and name[1] == "note")}
            assert seen == {name: held[name] for name in seen}, f"{side.phase} differs: {seen}, not {held}"
        for door in (side, side.v1):
            assert await door.exists(ID) == (first is not None), "exists differs"
    await find_by_value(s.sides[-1], first)
    return held


async def read_after_failing_over(s):
    """The same once the majority has what the primary has."""
    s.store.stay()
    return await read_afterwards(s)


async def find_by_value(repository, value):
    """What the later phase finds by a field's value and order, now that V2's part is current."""
    tally = -1 if value is None else value[1]
    alike, other = (Criteria(v1={"count.tally": one}, v2={"tally": one}) for one in (tally, tally + 1))
    doors = (repository,) if repository.phase is V2_ONLY else (repository, repository.v1)
    for door in doors:
        assert bool([one async for one in door.list(alike, sort=BY_TALLY)]) == (value is not None), "it is not listed"
        assert not [one async for one in door.list(other)], "the listing finds what does not match"
        assert [await door.count(alike), await door.count(other)] == [int(value is not None), 0], "the count differs"


# ---- scenarios ------------------------------------------------------------------------------------------------------


def blind(call):
    """The call of a process in `v1_only`, which neither sees nor changes what only V2's part holds."""

    def observe(result):
        seen = call.observe(result)
        if isinstance(seen, dict):
            return {**seen, (ID, "note"): UNSEEN}
        return (*seen[:-1], UNSEEN) if isinstance(seen, tuple) else seen

    changes = call.argument
    if call.name == "update" or call.name == "replace":
        changes = (*changes[:-1], kept)
    return evolve(call, observe=observe, argument=changes)


def call_of(name, amount, side, phase):
    """A call by its name, by the client of one side in this phase."""
    if name == "out name until alone":
        return made.last_outsider(amount)
    if name.startswith("out"):
        return made.outsiders(amount)[name]
    if name == FAIL_OVER:
        return fail_over(lambda s: s.store)
    if name == "sweep":
        return Call("sweep", lambda s: made.sweep(s, side))
    call = made.calls(amount, side)[name]
    return blind(call) if phase is V1_ONLY else call


def scenario(phases, state, clients, layout="flat", migrations=None, **changes):
    """Clients by lists of call names: the first works in the first phase, the others in the second."""
    document = states_of(layout)[state] if isinstance(state, str) else state
    sides = [min(index, 1) for index in range(len(clients))]
    named = {
        client: [
            call_of(name, 10 ** (2 * index + place), sides[index], phases[sides[index]])
            for place, name in enumerate(names)
        ]
        for index, (client, names) in enumerate(zip("ABC", clients, strict=False))
    }
    text = " | ".join(", ".join(names) for names in clients)
    fails_over = any(FAIL_OVER in names for names in clients)
    begun = (setup_failing_over if fails_over else setup)(document, migrations or (LAYOUTS[layout],) * 2, phases)
    defaults = {
        "invariants": invariants_of(layout), "setup": begun, "resumes": not migrations,
        "afterwards": read_after_failing_over if fails_over else read_afterwards,
    }  # fmt: skip
    return Scenario(
        name=f"{' beside '.join(phases)}, {layout}: {text} from {state}", clients=named, outcomes=OUTCOMES, split=split,
        truth=lambda world: by_field(truth_of(layout, world.stores[0].stored(ID))), **{**defaults, **changes},
    )  # fmt: skip


@frozen
class InPlaceTask(Task):
    """One scenario of two phases in one collection, by values that a process can be sent."""

    phases: tuple[Phase, Phase] = (COEXIST, COEXIST)
    layout: str = "flat"
    crashes: bool = True

    def scenario(self):
        """The scenario itself."""
        changes = {"cancellations": self.cancellations, "crashes": self.crashes}
        return scenario(self.phases, self.state, self.clients, self.layout, **changes)
