"""V2 as the only truth as a call in company writes it: each write is one of a bulk, and takes its steps."""

from unittest import mock

from attrs import evolve
from pymongo.errors import AutoReconnect

from lazymig.stores import opening, v2_alone
from lazymig.stores.grouping import GuardedWrites
from lazymig.stores.v2_alone import AloneStore
from lazymig.testing.linearizability import Outcome
from tests.interleaving.grouped import only
from tests.interleaving.phases_side_by_side import V2_ONLY, scenario


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
        return await only(self._many.delete_each([v2_alone.build_removal(seen)]))


def alone_in_bulks(state, clients, *, forgets=False, **changes):
    """Clients by lists of call names, of whom all know V2 alone and write in bulks."""
    with mock.patch.object(opening, "AloneStore", type("Grouped", (GroupedAlone,), {"forgets": forgets})):
        made = scenario((V2_ONLY, V2_ONLY), state, clients, **changes)
    name = f"{made.name}, in bulks, deletes leave {'nothing' if forgets else 'tombstones'}"
    return evolve(made, name=name, outcomes={**made.outcomes, AutoReconnect: Outcome.UNCERTAIN})
