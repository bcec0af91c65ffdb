"""The example of one attribute that moves: all phases on a real server, beside a program with the same documents."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import suppress
from random import Random
from typing import Any

import pytest
from attrs import evolve

from examples.users_pii import Accounts, FullName, Pii, migration
from lazymig import (
    AlreadyExists,
    Control,
    Migration,
    NotFound,
    Phase,
    Repository,
    Retirement,
    Sweeper,
    Switch,
    Verifier,
)
from lazymig.testing import assert_laws
from tests.switches import HurriedClock

#: Users at first; every third has no name yet.
COUNT = 60
ORDER = {"by": "me", "why": "the example"}
ACCEPTED = ["outside-writes"]


def test_the_conversions_keep_their_laws() -> None:
    """Each name comes back as it was, also one without a blank."""
    assert_laws(migration)


class Service:
    """The accounts at work, until stopped: whom it has let in, and how often."""

    def __init__(self, database: Any, rng: Random) -> None:
        self.accounts, self._rng = Accounts(database["users"]), rng
        self.logins = Counter[int]()
        self.stopped = False

    async def run(self) -> None:
        while not self.stopped:
            id = self._rng.randrange(COUNT)
            await self.accounts.log_in(id)
            self.logins[id] += 1
            await asyncio.sleep(0)


class Names:
    """The service of the names at work, in whatever phase, and the answers it got."""

    def __init__(self, repo: Repository[FullName, Pii], rng: Random) -> None:
        self.repo, self._rng = repo, rng
        self.known: dict[int, Pii | None] = {
            id: Pii(id, "Ada", f"King {id}") if id % 3 else None for id in range(COUNT)
        }

    async def work(self, calls: int) -> None:
        """Some calls of both doors, each of which must find what the last one left."""
        for number in range(calls):
            id = self._rng.randrange(COUNT)
            before = self.known[id]
            assert await self.repo.get(id) == before
            if before is None:
                self.known[id] = await self.repo.insert(Pii(id, "New", str(number)))
                with suppress(AlreadyExists):
                    await self.repo.v1.insert(FullName(id, "Not Taken"))
            elif number % 5 == 0:
                await self.repo.delete(id)
                self.known[id] = None
            else:
                self.known[id] = await self.repo.update(id, lambda pii, number=number: evolve(pii, last=f"K{number}"))
        held = {id: pii for id, pii in self.known.items() if pii is not None}
        assert {pii.id: pii async for pii in self.repo.list()} == held
        assert await self.repo.count() == len(held)


async def sign_up_all(database: Any) -> None:
    """Users as they were before lazymig: two of three have a name."""
    for id in range(COUNT):
        await Accounts(database["users"]).sign_up(id, f"{id}@example.org")
    named = {"full_name": {"$concat": ["Ada King ", {"$toString": "$_id"}]}}
    await database["users"].update_many({"_id": {"$not": {"$mod": [3, 0]}}}, [{"$set": named}])


async def go_all_the_way(database: Any, names: Names, switch: Switch[Any, Any], clock: HurriedClock) -> int:
    """Every phase, and then V1's end; how many stale names that removed."""
    repo = names.repo
    for phase in list(Phase)[1:]:
        if phase is Phase.V2_PRIMARY:
            assert (await Sweeper(repo, clock=clock).run()).finished
        if phase in (Phase.V2_PRIMARY, Phase.V2_ONLY):
            await Verifier(repo, min_age_s=0, repair=True).run()  # marks are too young for the sweep
            assert (await Verifier(repo, min_age_s=0).run()).agrees
        moved = await switch.advance(**ORDER, confirm="users_pii", accept=ACCEPTED)
        assert moved.after is phase
        await names.work(20)
    stale: int = await database["users"].count_documents({"full_name": {"$exists": True}})
    retiring = Retirement(repo, soak_s=0, unwatched=True, clock=clock)
    await retiring.archive("names_of_old")
    await retiring.drop(confirm="users_pii")
    await names.work(20)
    await retiring.reduce(grace_s=0)
    await retiring.finish()
    return stale


async def test_a_name_moves_beside_the_accounts(server_database: Any) -> None:
    """From `v1_only` to V1's end: each program finds what it left, and the users keep all but their names."""
    database, rng, clock = server_database, Random(7), HurriedClock()
    await sign_up_all(database)
    control = Control(database["lazymig_control"], clock)
    opened = Repository(migration, v1=database["users"], v2=database["users_pii"], phase=control, clock=clock)
    switch, service = Switch(opened, soak_s=0), Service(database, rng)
    await switch.begin(Phase.V1_ONLY, **ORDER)
    running = asyncio.create_task(service.run())
    try:
        async with opened as repo:
            names = Names(repo, rng)
            await names.work(20)
            with pytest.raises(NotFound, match="insert that document first"):
                await repo.insert(Pii(COUNT, "No", "User"))
            stale = await go_all_the_way(database, names, switch, clock)
    finally:
        service.stopped = True
        await running
    assert await database["names_of_old"].count_documents({}) == stale > 0
    async for row in database["users"].find():
        assert row.keys() - {"seen"} == {"_id", "mail", "logins"}
        assert row["logins"] == service.logins[row["_id"]]
    assert sum(service.logins.values()) > COUNT
    finished = Migration.finished("users_pii", v2=Pii)
    async with Repository(finished, v2=database["users_pii"], phase=control) as repo:
        assert {pii.id: pii async for pii in repo.list()} == {id: pii for id, pii in names.known.items() if pii}
