"""Stores whose announcements and bodies are done and yet reported as failed, so that they are sent again.

The first of the two is as if its connection had been lost. A body of it may also come late, when its caller is gone.
"""

from functools import partial
from unittest import mock

from lazymig.repository import calls_of
from lazymig.stores import opening
from lazymig.stores.mongo_v1 import V1Store
from lazymig.stores.mongo_v2 import V2Store
from tests.interleaving.mutants import Mutant
from tests.interleaving.subject import (
    KEEPING,
    MIGRATION,
    Call,
    Subject,
    calls,
    noted_calls,
    opened,
    scenario,
    setup,
)


class Again(V2Store):
    """V2's store that does each announcement and each body twice, and keeps what may come late."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.late = []

    async def _transformed(self, where, update):
        await super()._transformed(where, update)
        return await super()._transformed(where, update)

    async def _replace(self, id, known):
        return await self._twice(partial(super()._replace, id, known))

    async def _update(self, where, pipeline, *, upsert=False, durable=False):
        once = partial(super()._update, where, pipeline, upsert=upsert, durable=durable)
        return await (self._twice(once) if upsert and not durable else once())

    async def _twice(self, once):
        await once()
        self.late.append(once)
        return await once()


async def come_late(s):
    """The bodies of the first client arrive once more, after all that others have done."""
    for once in calls_of(s.repository).pair.bodies.late[:2]:
        await once()


def with_late(make):
    """These calls, and the arrival of what was sent before."""
    return lambda amount: {**make(amount), "late": Call("late", come_late)}


def again_scenario(state, clients, make=scenario, migration=MIGRATION, named=calls, **changes):
    """Clients by lists of call names, whose announcements and bodies are all sent twice."""

    def subject(v1, v2, clock):
        with mock.patch.multiple(opening, V2Store=Again):
            return Subject(opened(migration, v1, v2, clock), v1, v2)

    bodies = []

    def noted(v1, v2, clock):
        made = subject(v1, v2, clock)
        bodies.append(calls_of(made.repository).pair.bodies)
        return made

    begin = setup(state, migration, subject=noted)

    def set_back(gate):
        for one in bodies:
            one.late.clear()
        return begin(gate)

    return make(state, clients, make=with_late(named), **{**changes, "setup": set_back, "resumes": False})


def noted_again(make_noted, state, clients):
    """The same, judged by the whole of V2's entity."""
    return again_scenario(state, clients, make_noted, KEEPING, noted_calls)


def v1_sent_again(monkeypatch):
    """V1's compare-and-set is sent without the driver's records, and once more."""
    update = V1Store._update

    async def twice(store, one):
        await update(store, one)
        return await update(store, one)

    monkeypatch.setattr(V1Store, "_update", twice)


def late_bodies_stand(monkeypatch):
    """A body is stored whatever V2 holds, so that one that comes late hides a newer one."""
    update, replace = V2Store._update, V2Store._replace

    async def regardless(store, where, pipeline, **options):
        return await update(store, {"_id": where["_id"]} if options.get("upsert") else where, pipeline, **options)

    async def replaced(store, id, known):
        return await replace(store, id, known and [{"$replaceWith": known[0]["$replaceWith"]["$cond"][1]}])

    monkeypatch.setattr(V2Store, "_update", regardless)
    monkeypatch.setattr(V2Store, "_replace", replaced)


MUTANTS = (
    Mutant("V1 is sent again", v1_sent_again, lambda: again_scenario("both clean", [["update"], ["get"]])),
    Mutant(
        "late bodies stand", late_bodies_stand, lambda: again_scenario("both clean", [["update"], ["update", "late"]])
    ),
)  # fmt: skip
