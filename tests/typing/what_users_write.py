"""What a type checker sees in a user's code: pyright reads this file, nobody runs it."""

from typing import Any, assert_type

from attrs import evolve, frozen

import lazymig
from lazymig.testing import ReplicaSet, Server


@frozen
class CustomerV1:
    id: int
    name: str


@frozen
class CustomerV2:
    id: int
    first: str
    last: str


def to_v2(v1: CustomerV1) -> CustomerV2:
    first, _, last = v1.name.partition(" ")
    return CustomerV2(id=v1.id, first=first, last=last)


async def to_v1(v2: CustomerV2, current: CustomerV1 | None) -> CustomerV1:
    return CustomerV1(id=v2.id, name=f"{v2.first} {v2.last}")


migration = lazymig.Migration(name="customers", v1=CustomerV1, v2=CustomerV2, upgrade=to_v2, downgrade=to_v1)
assert_type(migration, lazymig.Migration[CustomerV1, CustomerV2])


async def use(v1: Any, v2: Any) -> None:
    repo = lazymig.Repository(migration, v1=v1, v2=v2, phase=lazymig.Phase.COEXIST)
    assert_type(repo, lazymig.Repository[CustomerV1, CustomerV2])
    assert_type(await repo.get(1), CustomerV2 | None)
    assert_type(await repo.exists(1), bool)
    assert_type(await repo.update(1, lambda customer: evolve(customer, first="Ada")), CustomerV2)
    assert_type(await repo.v1.get(1), CustomerV1 | None)
    async for customer in repo.list(limit=10):
        assert_type(customer, CustomerV2)
    await repo.insert(CustomerV1(id=1, name="Ada"))  # pyright: ignore[reportArgumentType]
    lazymig.Repository(migration, v1=v1, v2=v2, phase="coexist")  # pyright: ignore[reportArgumentType]


with Server(replica_set=False) as server, ReplicaSet(members=3) as replica_set:
    assert_type(server, Server)
    assert_type(server.uri, str)
    assert_type(replica_set.step_down().port, int)
