"""Documents with both shapes as a call in company writes them: each write is one of a bulk, and takes its steps.

As for two collections, bulks of one show all orders of steps. But what a delete knows of its outcome depends on the
others of its bulk, since a bulk says how many documents it deleted.
"""

from unittest import mock

from attrs import evolve, frozen
from pymongo.errors import AutoReconnect

from lazymig import Phase
from lazymig.stores import mongo_wholes, opening
from lazymig.stores.drivers import ONE
from lazymig.stores.grouping import GuardedUpdate, GuardedWrites
from lazymig.stores.mongo_wholes import WholeStore
from lazymig.stores.two_steps import GuardedDelete, TwoStepDeletes
from lazymig.testing.linearizability import Outcome
from tests.interleaving.failing_over import tuned
from tests.interleaving.grouped import only
from tests.interleaving.in_place import scenarios, unmoved
from tests.interleaving.in_place.scenarios import COEXIST
from tests.interleaving.running import Task

#: An entity that the scenarios do not have.
OTHER = 2
COMPANY = GuardedDelete(
    GuardedUpdate({"_id": OTHER, "_lazymig.rev": 1}, {"$set": {"_lazymig.rev": 2}}),
    {"_id": OTHER, "_lazymig.rev": 2},
    {"_id": OTHER, "_lazymig.rev": 2},
)
#: What became of the other document that the same bulk deletes; "none" where there is no other.
ENDS = ("none", "deleted", "gone by another's hand")


class Seconds(GuardedWrites):
    """The second steps, where a delete has the company of one that ends as `end` says."""

    end = "none"

    async def send_deletes(self, requests):
        failures, deleted = await super().send_deletes(requests)
        return failures, deleted + (self.end == "deleted")


class Firsts(GuardedWrites):
    """The first steps, of which `sends` are sent: again, where it was not known what came of them."""

    sends = 1

    async def update_each(self, updates):
        company = [True] * (updates[-1] is COMPANY.first)
        for _ in range(self.sends):
            outcomes = await super().update_each(updates[: len(updates) - len(company)])
        return [*outcomes, *company]


async def delete(deletes, one, end):
    """The outcome of one delete, and of the company that it has."""
    outcomes = await deletes.delete_each([one] if end == "none" else [one, COMPANY])
    if end == "gone by another's hand":
        assert outcomes[1] is not True, "it takes another's delete for its own"
    if end == "deleted":
        assert outcomes[1] is not False, "it does not count what it deleted"
    return await only(_first(outcomes))


async def _first(outcomes):
    return outcomes[:1]


class GroupedWholes(WholeStore):
    """The store whose writes go in bulks."""

    firsts, seconds = Firsts, Seconds

    async def _update(self, one):
        return await only(GuardedWrites(self._durable).update_each([one]))

    async def _insert(self, whole):
        return await only(GuardedWrites(self._durable).insert_each([whole]))

    async def delete(self, seen, revision=None, held=None):
        if revision is None:
            return await super().delete(seen, revision, held)
        firsts = self.firsts(tuned(self.given, write=ONE))
        deletes = TwoStepDeletes(firsts, self.seconds(self._durable))
        return await delete(deletes, mongo_wholes.build_delete(seen, revision, held), self.seconds.end)


def in_bulks(make, *arguments, end="none", sends=1, **options):
    """The scenario, whose clients write in bulks."""
    parts = {
        "firsts": type("SentFirsts", (Firsts,), {"sends": sends}),
        "seconds": type("EndingSeconds", (Seconds,), {"end": end}),
    }
    with mock.patch.object(opening, "WholeStore", type("Grouped", (GroupedWholes,), parts)):
        made = make(*arguments, **options)
    outcomes = {**made.outcomes, AutoReconnect: Outcome.UNCERTAIN}
    sent = "" if sends == 1 else ", its first step sent again"
    return evolve(made, name=f"{made.name}, in bulks, the other {end}{sent}", outcomes=outcomes)


@frozen
class BulkTask(Task):
    """One scenario of two phases, by values that a process can be sent."""

    phases: tuple[Phase, Phase] = (COEXIST, COEXIST)
    end: str = "none"
    sends: int = 1
    unmoved: bool = False

    def scenario(self):
        """The scenario itself."""
        make = unmoved.scenario if self.unmoved else scenarios.scenario
        changes = {"cancellations": self.cancellations}
        return in_bulks(make, self.phases, self.state, self.clients, end=self.end, sends=self.sends, **changes)
