"""V2 as the only truth as a call in company writes it: each write is one of a bulk, and takes its steps."""

from unittest import mock

from attrs import evolve
from pymongo.errors import AutoReconnect

from lazymig.stores import opening
from lazymig.stores.drivers import ONE
from lazymig.stores.grouping import GuardedWrites
from lazymig.stores.two_steps import TwoStepDeletes
from lazymig.stores.v2_alone import AloneStore
from lazymig.testing.explore import FixedClock, World
from lazymig.testing.linearizability import Outcome
from lazymig.testing.memory_collection import MemoryCollection
from tests.interleaving.failing_over import Primary, concerned, fail_over, tuned
from tests.interleaving.grouped import only
from tests.interleaving.phases_side_by_side import ALONE, V2_ONLY, SideBySide, scenario
from tests.interleaving.subject import MIGRATION, Subject, opened, set_back_for_each_run


class GroupedAlone(AloneStore):
    """The store whose writes go in bulks. With `forgets`, deletes leave nothing."""

    forgets = False

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **{**options, "forgets": self.forgets})
        self._many = GuardedWrites(self._durable)

    async def _insert(self, document):
        return await only(self._many.insert_each([document]))

    async def replace(self, seen, body):
        return await only(self._many.update_each([self.build_replacement(seen, body)]))

    async def bury(self, seen, *, again=False):
        if not self._forgets:
            return await only(self._many.update_each([self.build_burial(seen)]))
        if again or not seen.clean:
            return await super().bury(seen, again=again)
        deletes = TwoStepDeletes(GuardedWrites(tuned(self.given, write=ONE)), self._many)
        return await only(deletes.delete_each([self.build_removal(seen)]))


def _grouped(*, forgets):
    return mock.patch.object(opening, "AloneStore", type("Grouped", (GroupedAlone,), {"forgets": forgets}))


def alone_in_bulks(state, clients, *, forgets=False, **changes):
    """Clients by lists of call names, of whom all know V2 alone and write in bulks."""
    with _grouped(forgets=forgets):
        made = scenario((V2_ONLY, V2_ONLY), state, clients, **changes)
    name = f"{made.name}, in bulks, deletes leave {'nothing' if forgets else 'tombstones'}"
    return evolve(made, name=name, outcomes={**made.outcomes, AutoReconnect: Outcome.UNCERTAIN})


def failing_over(state, clients):
    """The same with deletes that leave nothing, while another member takes over from V2's primary at any time."""
    made, clock = alone_in_bulks(state, clients, forgets=True), FixedClock()
    v1, v2 = MemoryCollection("V1", ALONE[state][0]), Primary("V2", ALONE[state][1])
    with _grouped(forgets=True), concerned():
        sides = tuple(Subject(opened(MIGRATION, v1, v2, clock, phase=V2_ONLY), v1, v2) for _ in clients[:2])
    world = World((v1, v2, v2.majority), SideBySide(sides))

    async def afterwards(s):
        v2.stay()
        return await made.afterwards(s)

    taking_over = {"the other member": [fail_over(lambda _: v2)]}
    return evolve(
        made, name=f"{made.name}, beside a fail-over", clients={**made.clients, **taking_over},
        setup=set_back_for_each_run(world, clock), afterwards=afterwards,
    )  # fmt: skip
