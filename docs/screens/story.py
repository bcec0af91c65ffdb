"""A migration in the middle of its life, for pictures of its page: users at work, a sweep, dead letters, a mismatch."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random
from typing import Any

from attrs import evolve, frozen

from lazymig import (
    LEAVE,
    Control,
    DarkReads,
    LazymigError,
    Leave,
    Migration,
    NotYet,
    Phase,
    Repository,
    Sweeper,
    Switch,
    Verifier,
)
from tests.browser.clocks import FastClock

NAME = "customers"
HASTE = 20
CUSTOMERS = 24_000
_NAMES = ("Ada Lovelace", "Grace Hopper", "Mary Somerville", "Emmy Noether", "Sofia Kovalevskaya")


@frozen
class CustomerV1:
    """The old shape."""

    id: int
    name: str
    country: str | None = None
    test: bool = False
    visits: int = 0


@frozen
class CustomerV2:
    """The new shape."""

    id: int
    first: str
    last: str
    country: str
    visits: int = 0


def upgrade(v1: CustomerV1) -> CustomerV2 | Leave:
    """Test accounts stay behind; who has no country waits; a name of one word, or of three, does not convert."""
    if v1.test:
        return LEAVE
    if v1.country is None:
        raise NotYet("no country")
    first, last = v1.name.split(" ")
    return CustomerV2(v1.id, first, last, v1.country, v1.visits)


def downgrade(v2: CustomerV2) -> CustomerV1:
    """V2 to V1."""
    return CustomerV1(v2.id, f"{v2.first} {v2.last}", v2.country, visits=v2.visits)


def make_documents(count: int = CUSTOMERS) -> list[dict[str, Any]]:
    """Return V1 as it was: a few customers wait, stay behind, or do not convert."""
    documents = []
    for id in range(1, count + 1):
        document: dict[str, Any] = {"_id": id, "name": _NAMES[id % 5], "country": "GB", "test": False, "visits": 0}
        if id % 997 == 0:
            document["name"] = "Plato"
        elif id % 401 == 0:
            document["country"] = None
        elif id % 613 == 0:
            document["test"] = True
        documents.append(document)
    return documents


@frozen
class Story:
    """A service with its users."""

    database: Any
    clock: FastClock
    control: Control
    repo: Repository[CustomerV1, CustomerV2]
    #: What sweeps and verifications work on, as a process of their own would.
    passes: Repository[CustomerV1, CustomerV2]

    async def settle(self) -> None:
        """Correct what does not convert, and let V2 answer for everybody, as a step demands."""
        await self.database["customers"].update_many({"name": "Plato"}, {"$set": {"name": "Plato Aristocles"}})
        await self.control.cut_over(NAME, share=1.0, by="ada", why="a week without a mismatch")
        await self.sweep()
        await Verifier(self.passes, clock=self.clock).run()

    async def sweep(self) -> None:
        """Move what nobody has read, at a pace that leaves time to look."""
        options = {"batch_size": 40, "concurrency": 1, "rate_limit": 800, "live_slowdown": None}
        await Sweeper(self.passes, clock=self.clock, **options).run()

    async def work(self, seed: int, users: int = 6) -> None:
        """Let users work, until cancelled: most of them read."""
        await asyncio.gather(*(self._use(Random(f"{seed}/{user}")) for user in range(users)))

    async def _use(self, random: Random) -> None:
        while True:
            id = random.randrange(1, CUSTOMERS)
            try:
                if random.random() < 0.8:
                    await self.repo.get(id)
                else:
                    await self.repo.update(id, lambda customer: evolve(customer, visits=customer.visits + 1))
            except LazymigError:
                pass  # what does not convert, waits or stays behind
            await self.clock.sleep(random.random())


async def take_step(repo: Repository[CustomerV1, CustomerV2], why: str) -> None:
    """Take the service to its next phase."""
    await Switch(repo, soak_s=0.0).advance(by="ada", why=why)


@asynccontextmanager
async def under_way(database: Any) -> AsyncIterator[Story]:
    """A migration in `coexist`, with a quarter of the customers and the staff reading from V2 first."""
    clock = FastClock(HASTE)
    control = Control(database["lazymig_control"], clock)
    control.cohort("staff", lambda id: id % 50 == 0)
    await database["customers"].insert_many(make_documents())
    migration = Migration(name=NAME, v1=CustomerV1, v2=CustomerV2, upgrade=upgrade, downgrade=downgrade)
    sides = {"v1": database["customers"], "v2": database["customers_v2"]}
    plain = Repository(migration, **sides, phase=control)
    await Switch(plain).begin(Phase.V1_ONLY, by="ada", why="as the service runs now")
    await take_step(plain, "all processes follow")
    await take_step(plain, "fill V2 behind the writers")
    # With the next deploy the service compares half of its reads.
    service = Repository(migration, **sides, phase=control, dark_reads=DarkReads(0.5))
    async with clock.passing(database), service as repo:
        await control.cut_over(NAME, share=0.25, cohorts=["staff"], by="ada", why="staff and a quarter first")
        await take_step(repo, "dark reads agree")
        yield Story(database, clock, control, repo, plain)
