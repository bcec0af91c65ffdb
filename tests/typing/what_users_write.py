"""What a type checker sees in a user's code: pyright reads this file, nobody runs it."""

from typing import Any, assert_type

from attrs import evolve, frozen
from pydantic import BaseModel

import lazymig
from lazymig.testing import ReplicaSet, Server, documents_like, entities


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


def to_v2_on(v1: CustomerV1, previous: CustomerV2 | None = None) -> CustomerV2:
    return previous or to_v2(v1)


one_argument = lazymig.Migration(
    name="lambdas",
    v1=CustomerV1,
    v2=CustomerV2,
    upgrade=lambda v1: CustomerV2(v1.id, *v1.name.split(" ", 1)),
    downgrade=lambda v2: CustomerV1(v2.id, f"{v2.first} {v2.last}"),
)
assert_type(one_argument, lazymig.Migration[CustomerV1, CustomerV2])
two_arguments = lazymig.Migration(
    name="lambdas of two arguments",
    v1=CustomerV1,
    v2=CustomerV2,
    upgrade=lambda v1, previous: previous or to_v2(v1),
    downgrade=lambda v2, current: CustomerV1(v2.id, current.name if current else v2.first),
)
assert_type(two_arguments, lazymig.Migration[CustomerV1, CustomerV2])
lazymig.Migration(name="optional", v1=CustomerV1, v2=CustomerV2, upgrade=to_v2_on, downgrade=to_v1)


def mistakes() -> None:
    lazymig.Migration(
        name="swapped",
        v1=CustomerV1,
        v2=CustomerV2,
        upgrade=to_v1,  # pyright: ignore[reportArgumentType]
        downgrade=to_v2,  # pyright: ignore[reportArgumentType]
    )
    lazymig.Migration(
        name="an attribute that is not there",
        v1=CustomerV1,
        v2=CustomerV2,
        upgrade=lambda v1: to_v2(v1.nam),  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType, reportUnknownArgumentType]
        downgrade=to_v1,
    )
    lazymig.Migration(
        name="the wrong result",
        v1=CustomerV1,
        v2=CustomerV2,
        upgrade=to_v2,
        downgrade=lambda v2: v2,  # pyright: ignore[reportArgumentType]
    )
    lazymig.Migration(
        name="three arguments",
        v1=CustomerV1,
        v2=CustomerV2,
        upgrade=to_v2,
        downgrade=lambda a, b, c: CustomerV1(1, ""),  # pyright: ignore[reportArgumentType, reportUnknownLambdaType]
    )


class CustomerModel(BaseModel):
    id: int
    full_name: str


assert_type(lazymig.rename(CustomerModel, full_name="Full Name"), type[CustomerModel])
to_model = lazymig.Migration(
    name="a model",
    v1=CustomerV1,
    v2=CustomerModel,
    upgrade=lambda v1: CustomerModel(id=v1.id, full_name=v1.name),
    downgrade=lambda v2: CustomerV1(v2.id, v2.full_name),
)
assert_type(to_model, lazymig.Migration[CustomerV1, CustomerModel])
assert_type(entities(CustomerModel).example(), CustomerModel)
assert_type(documents_like([{"_id": 1, "name": "Ada"}], CustomerV1).example(), dict[str, Any])


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
