"""The demo's clients: services that speak V2 and services that still speak V1, all on the same customers."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any

from attrs import define, evolve, field

from lazymig.errors import NotFound
from lazymig.loop.clock import SYSTEM_CLOCK, Clock
from lazymig.repository import Repository

#: How many of a hundred operations are of each kind.
_MIX = {"get": 58, "update": 28, "insert": 8, "delete": 6}
#: The pause between two operations of a client, in seconds, on average.
_THINKING_S = 0.02
#: Account numbers from here on are invented; no real customer has one.
_FIRST_ACCOUNT = 10_000_000


@define
class Ledger:
    """What the clients did and were answered, for the comparison at the end. It does not look at the databases."""

    #: Ids of the customers that the clients know and have not deleted.
    alive: list[Any]
    operations: Counter[tuple[str, str]] = field(factory=Counter)
    inserted: set[Any] = field(factory=set)
    deleted: set[Any] = field(factory=set)
    #: Customers that some client tried to change.
    touched: set[Any] = field(factory=set)
    #: Acknowledged changes: the account numbers that were added to a customer.
    added: defaultdict[Any, set[int]] = field(factory=lambda: defaultdict(set))
    _next: int = 0

    def number(self) -> int:
        """Return a number that was not used yet, for an invented customer or an account."""
        self._next += 1
        return self._next

    @property
    def total(self) -> int:
        """Operations so far, of all clients."""
        return sum(self.operations.values())


@define
class Client:
    """One client: a seeded stream of operations through one door."""

    door: str
    #: The repository, or its V1 view: the same calls, in the door's own type.
    calls: Any
    #: An invented customer of the door's type, by number.
    invent: Callable[[int], Awaitable[Any]]
    #: The change that an update makes besides adding the account.
    change: Callable[[Any, Random], Any]
    ledger: Ledger
    random: Random
    clock: Clock = SYSTEM_CLOCK

    async def work(self, operations: int) -> None:
        """Do this many operations, with a pause after each."""
        for _ in range(operations):
            verb = self.random.choices(list(_MIX), list(_MIX.values()))[0]
            await getattr(self, f"_{verb}")()
            self.ledger.operations[self.door, verb] += 1
            await self.clock.sleep(self.random.random() * 2 * _THINKING_S)

    async def _get(self) -> None:
        await self.calls.get(self._somebody())

    async def _update(self) -> None:
        id, account, seed = self._somebody(), _FIRST_ACCOUNT + self.ledger.number(), self.random.random()
        self.ledger.touched.add(id)

        def change(customer: Any) -> Any:
            changed = self.change(customer, Random(seed))
            return evolve(changed, accounts=[*customer.accounts, account])

        try:
            await self.calls.update(id, change)
        except NotFound:  # another client deleted it a moment ago
            return
        self.ledger.added[id].add(account)

    async def _insert(self) -> None:
        customer = await self.invent(self.ledger.number())
        await self.calls.insert(customer)
        self.ledger.inserted.add(customer.id)
        self.ledger.alive.append(customer.id)

    async def _delete(self) -> None:
        id = self._somebody()
        try:
            await self.calls.delete(id)
        except NotFound:
            return
        self.ledger.deleted.add(id)
        self.ledger.alive.remove(id)

    def _somebody(self) -> Any:
        return self.random.choice(self.ledger.alive)


def crowd(repository: Repository[Any, Any], example: Any, ledger: Ledger, each: int, seed: int) -> list[Client]:
    """Make `each` new clients and as many old ones."""

    async def invent_v2(number: int) -> Any:
        return example.new_customer(number)

    async def invent_v1(number: int) -> Any:
        return example.downgrade(example.new_customer(number))

    def award(customer: Any, random: Random) -> Any:
        active = customer.active if random.random() < 0.8 else not customer.active
        return evolve(customer, loyalty_points=customer.loyalty_points + random.randrange(100), active=active)

    def mail(customer: Any, random: Random) -> Any:
        return evolve(customer, email=f"{customer.username}.{random.randrange(1000)}@example.com")

    new = [Client("new", repository, invent_v2, award, ledger, Random(f"{seed} new {n}")) for n in range(each)]
    old = [Client("old", repository.v1, invent_v1, mail, ledger, Random(f"{seed} old {n}")) for n in range(each)]
    return new + old
