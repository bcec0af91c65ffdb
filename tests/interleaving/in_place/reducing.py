"""Scenarios of the end of V1's part: the pass beside clients of `v2_only`, with V2's part lifted meanwhile or not."""

from types import SimpleNamespace

from attrs import evolve, frozen

from lazymig import Criteria
from lazymig.control.retirement import RetirementRecord
from lazymig.repository import calls_of
from lazymig.retiring.in_place.reduction import ReducePass
from lazymig.retiring.reduction import ReduceOptions
from lazymig.routes.stages import FixedStages
from lazymig.shapes.one_document import Lift
from lazymig.stores.keyset import BY_ID
from lazymig.testing.explore import Call
from tests.interleaving.in_place.clients import TALLIES, by_field, found, found_many
from tests.interleaving.in_place.people import UNSEEN, WITHIN, states_of, truth_of, value_of
from tests.interleaving.in_place.scenarios import V2_ONLY, V2_PRIMARY, InPlaceTask, scenario, trusted_is_v1
from tests.interleaving.subject import ID

#: What processes may run side by side while the pass works, by layout; and before and behind it.
UNDER_WAY = (Lift.UNDER_WAY, Lift.UNDER_WAY)
BESIDE = {"flat": [(Lift.NONE, Lift.NONE)], "within": [UNDER_WAY]}
WITHOUT = [(Lift.NONE, Lift.ASKED), (Lift.ASKED, Lift.UNDER_WAY)]
_V2_OWN = {"first", "last", "tally", "note"}


def layout_of(layout, document):
    """Where V2's part of a document is."""
    return "flat" if (document or {}).get("_lazymig", {}).get("lifted") else layout


def lifted_document(email="b@x"):
    """A document whose V2 part was lifted, and which is not written since."""
    body = {"first": "Ada", "last": "Ada", "tally": 5, "email": email, "note": "n"}
    return {"_id": ID, **body, "legacy": 1, "_lazymig": {"rev": 5, "alone": "people", "lifted": True}}


def at(repository, lift):
    """The repository as a process works that knows how far the lift is."""
    calls = calls_of(repository)
    place = evolve(calls.place, shape=calls.place.shape.at(lift))
    builder = calls.builder.with_place(place)
    stages = FixedStages(builder.build(repository.phase), None)
    repository._calls = evolve(calls, ground=place, builder=builder, stages=stages)
    return repository


async def no_letters(_name, _ids):
    """No failure was ever waived."""
    for never in ():
        yield never


def reducing(layout):
    """One batch of the pass, with the code that retirement runs."""

    async def run(s):
        place = calls_of(s.sides[0]).place
        place = evolve(place, shape=place.shape.at(Lift.UNDER_WAY if layout == "within" else Lift.NONE))
        letters = SimpleNamespace(find_pages_of=no_letters)
        ground = SimpleNamespace(place=place, name="people", parts=SimpleNamespace(letters=letters))
        work = ReducePass(ground, RetirementRecord(), ReduceOptions(grace_s=0, strip=False))
        page = list(await place.store.page(place.store.question({}), BY_ID, 500))
        if page:
            await work._reduce(page)
        assert not work.found.failed, work.found.failures

    return Call("reduce", run)


def exact(layout):
    """V2's part is in one place, V1's own fields go with the last of them, and what no class knows stays."""

    def check(world):
        document = world.stores[0].stored(ID)
        if document is None:
            return None
        meta = document.get("_lazymig", {})
        where = layout_of(layout, document)
        if where == "flat" and WITHIN in document:
            return "the sub-document is still there"
        if where == "within" and _V2_OWN & set(document):
            return "V2's fields are in two places"
        if set(meta) <= {"rev", "alone", "lifted"} and meta.get("alone") and {"name", "count"} & set(document):
            return "V1's fields are still there"
        return None

    return check


def legacy_stays(begun, clients):
    """What no class knows stays, unless the document itself goes or is another one."""
    others = {"delete", "insert", "V1 insert", "out delete"}
    kept = "legacy" in (begun or {}) and not any(others & set(names) for names in clients)

    def check(world):
        document = world.stores[0].stored(ID)
        return "a field that no class knows was lost" if kept and "legacy" not in (document or {}) else None

    return check


async def read_afterwards(s):
    """What every process answers, by each of its ways to find an entity."""
    first = value_of(await s.sides[-1].get(ID))
    held = by_field(first)
    tally = -1 if first is None else first[1]
    alike, other = (Criteria(v1={}, v2={"tally": one}) for one in (tally, tally + 1))
    for side in s.sides:
        for answer in (
            by_field(value_of(await side.get(ID))), await found_many(side.get_many([ID])), await found(side.list()),
            by_field(value_of(await side.v1.get(ID))), await found(side.v1.list()),
        ):  # fmt: skip
            seen = {name: one for name, one in answer.items() if one != UNSEEN}
            assert seen == {name: held[name] for name in seen}, f"{seen}, not {held}"
        if side.phase is V2_PRIMARY and side is not s.sides[-1]:
            continue  # it was paused, and no call of it lists any more
        assert bool([one async for one in side.list(alike)]) == (first is not None), "it is not listed"
        assert not [one async for one in side.list(other)], "the listing finds what does not match"
        assert [await side.count(alike), await side.count(other)] == [int(first is not None), 0], "the count differs"
    return held


def reduce_scenario(state, clients, layout="flat", lifts=(Lift.NONE, Lift.NONE), phases=(V2_ONLY, V2_ONLY), **changes):
    """Clients by lists of call names: the first knows of the first lift, the others of the second."""
    begun = lifted_document() if state == "lifted" else states_of(layout)[state]
    named = [["get" if name in ("reduce", "find") else name for name in names] for names in clients]
    made = scenario(phases, begun, named, layout)
    setup = made.setup

    def lifted(gate):
        world = setup(gate)
        for side, lift in zip(world.subject.sides, (*lifts, lifts[-1]), strict=True):
            at(side, lift)
        return world

    calls = {
        client: [
            reducing(layout) if name == "reduce" else _find(min(index, 1)) if name == "find" else call
            for name, call in zip(names, made.clients[client], strict=True)
        ]
        for index, (client, names) in enumerate(zip("ABC", clients, strict=False))
    }
    return evolve(
        made, name=f"{' beside '.join(lifts)}, {layout}: {' | '.join(map(', '.join, clients))} from {state}",
        clients=calls, setup=lifted, afterwards=read_afterwards,
        truth=lambda world: by_field(_truth(layout, world.stores[0].stored(ID))), resumes=False,  # `at` is beside them
        invariants={
            "trusted is V1": trusted_is_v1(layout), "exact": exact(layout), "unknown": legacy_stays(begun, clients),
        },
        **changes,
    )  # fmt: skip


def _truth(layout, document):
    return truth_of(layout_of(layout, document), document)


def _find(side):
    """A listing by V2's fields, in the order of ids."""
    return Call("list", lambda s: found(s.sides[side].list(TALLIES)))


@frozen
class ReduceTask(InPlaceTask):
    """One scenario of the pass, by values that a process can be sent."""

    lifts: tuple[Lift, Lift] = (Lift.NONE, Lift.NONE)

    def scenario(self):
        """The scenario itself."""
        changes = {"cancellations": self.cancellations, "crashes": self.crashes}
        return reduce_scenario(self.state, self.clients, self.layout, self.lifts, self.phases, **changes)
