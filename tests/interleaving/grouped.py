"""The stores as a call in company uses them: each of its writes is one of a bulk, and takes the bulk's steps.

A bulk's writes are atomic one by one, and those of other clients may come between. So a bulk of several is one of the
orders in which as many clients take their steps, and bulks of one show all of them, the same entity twice included. A
member whose caller was cancelled goes on to the end of its bulk, as does a client that crashes after it. What a write
decides while its announcement is under way sends nothing, so the announcement can begin when the write waits for it.
"""

from unittest import mock

from attrs import evolve
from pymongo.errors import AutoReconnect

from lazymig import Phase
from lazymig.repository import calls_of
from lazymig.stores import opening
from lazymig.stores.announcing import Announcements, Apart
from lazymig.stores.deleting import AnnouncedDelete, SharedDeletes
from lazymig.stores.documents import REVISION_FIELD
from lazymig.stores.grouping import GuardedWrites
from lazymig.stores.mongo_v1 import V1Store
from lazymig.stores.mongo_v2 import V2Store
from lazymig.stores.records import Begun, StoredV2
from lazymig.testing.linearizability import Outcome
from tests.interleaving import degraded, outsiders
from tests.interleaving.phases_side_by_side import SideBySide
from tests.interleaving.subject import MIGRATION, Subject, opened, scenario, setup

#: An entity that neither side has.
OTHER = 2


async def only(outcomes):
    """The outcome of the only member of a bulk."""
    (outcome,) = await outcomes
    if isinstance(outcome, BaseException):
        raise outcome
    return outcome


class GroupedV1(V1Store):
    """V1's store whose writes go in bulks. `find_v2` finds V2's documents."""

    find_v2 = None

    async def _update(self, one):
        return await only(GuardedWrites(self._durable).update_each([one]))

    async def _insert(self, whole):
        return await only(GuardedWrites(self._durable).insert_each([whole]))

    async def _delete(self, where, announced):
        if announced is None:
            return await super()._delete(where, announced)
        shared = SharedDeletes(GuardedWrites(self._durable), self.find_many_local, self.find_v2)
        # The company is an entity that another client has deleted, so the bulk deletes fewer than it should.
        company = AnnouncedDelete({"_id": OTHER, REVISION_FIELD: 1}, StoredV2(OTHER, 1, 2, False, None, {"_id": OTHER}))
        outcome, other = await shared.delete_each([AnnouncedDelete(where, announced), company])
        assert other is False or isinstance(other, AutoReconnect)
        if isinstance(outcome, AutoReconnect):
            raise outcome
        return outcome


class GroupedV2(V2Store):
    """V2's store whose announcements go in bulks."""

    def _announcements(self):
        return Announcements(self, GuardedWrites(self._durable), remembers=self._remembers)

    async def ticket(self, id):
        begun = await self.begin_ticket(id)
        return begun.expected if begun.finish is None else await begun.finish()

    async def begin_ticket(self, id):
        many = self._announcements()
        expected = await only(many.expect_each([id]))
        if expected is Apart.APART:
            return Begun(await super().ticket(id))

        async def finish():
            announced = await only(many.announce_each([expected]))
            return await super(GroupedV2, self).ticket(id) if announced is Apart.APART else announced

        return Begun(expected, finish)

    async def vacant_ticket(self, id, step=1):
        announced = await only(self._announcements().vacant_each([(id, step)]))
        return await super().vacant_ticket(id, step) if announced is Apart.APART else announced


def grouped(migration, v1, v2, clock, **options):
    """A repository whose writes go in bulks."""
    with mock.patch.multiple(opening, V1Store=GroupedV1, V2Store=GroupedV2):
        subject = Subject(opened(migration, v1, v2, clock, **options), v1, v2)
    pair = calls_of(subject.repository).pair
    pair.v1.find_v2 = pair.bodies.find_many
    return subject


def grouped_scenario(state, clients, make=scenario, migration=None, **changes):
    """Clients by lists of call names, of whom all write in bulks."""
    made = make(state, clients, **changes)
    migration = migration or made.setup(None).subject.repository.migration
    return _in_bulks(made, setup(state, subject=lambda v1, v2, clock: grouped(migration, v1, v2, clock)))


def _in_bulks(made, before):
    outcomes = {**made.outcomes, AutoReconnect: Outcome.UNCERTAIN}
    return evolve(made, outcomes=outcomes, name=f"{made.name}, in bulks", setup=before)


def beside_a_program(*clients):
    """A checked client that writes in bulks, beside a program that writes V1 without lazymig."""
    before = setup("both clean", subject=lambda v1, v2, clock: grouped(MIGRATION, v1, v2, clock, checked=True))
    return _in_bulks(outsiders.scenario("both clean", clients), before)


def beside_a_process_without_v2(*clients):
    """A process from which V2 is away, and which writes V1 alone, beside one that writes in bulks."""

    def both(v1, v2, clock):
        one = opened(MIGRATION, v1, v2, clock, phase=Phase.SHADOW)
        degraded.cut_off(one)
        other = grouped(MIGRATION, v1, v2, clock, phase=Phase.SHADOW)
        degraded.routed(other.repository, calls_of(other.repository).pair)
        return SideBySide((Subject(one, v1, v2), other))

    return _in_bulks(degraded.scenario("both clean", clients), setup("both clean", subject=both))
