"""The repository of the service, and of the sweeper that runs beside it."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from attrs import evolve
from pymongo import AsyncMongoClient
from pymongo.asynchronous.database import AsyncDatabase

from examples.customers_in_pydantic import CustomerV1, CustomerV2, migration
from lazymig import Control, Phase, Repository

Customers = Repository[CustomerV1, CustomerV2]
Client = AsyncMongoClient[dict[str, object]]

#: Where both shapes are: in two collections, or in each document of one.
TWO_COLLECTIONS, ONE_DOCUMENT = "two_collections", "one_document"
_DEFAULT_URI = "mongodb://127.0.0.1:27017/?replicaSet=rs0"


async def repository() -> Customers:
    """The repository, for `lazymig sweep --app examples.service.app:repository` and for the service itself.

    README.md explains the environment variables that it reads. A coroutine, because a client of MongoDB belongs to the
    event loop it is made in.
    """
    client = _connect()
    return _make(client, _connect_control(client))


@asynccontextmanager
async def opened() -> AsyncIterator[Customers]:
    """The repository for as long as the service runs; afterwards its connections are closed."""
    async with _connect() as client, _connect_control(client) as controlling, _make(client, controlling) as customers:
        yield customers


def open_customers(
    database: AsyncDatabase[dict[str, object]], phase: Phase | Control, layout: str, timeout_s: float | None = 30.0
) -> Customers:
    """The customers of a database, whose two shapes are where this layout has them."""
    if layout == ONE_DOCUMENT:
        # Both versions have a `name` and an `address`, and mean different things: V2's part has a place of its own.
        apart = evolve(migration, v2_within="v2")
        return Repository.in_place(apart, database["customers"], phase=phase, timeout_s=timeout_s)
    return Repository(
        migration, v1=database["customers"], v2=database["customers_v2"], phase=phase, timeout_s=timeout_s
    )


def _make(client: Client, controlling: Client) -> Customers:
    layout = os.environ.get("CUSTOMERS_LAYOUT", TWO_COLLECTIONS)
    # Together all round trips of one request take no longer than a client would wait for them.
    timeout_s = float(os.environ.get("CUSTOMERS_TIMEOUT_S", "10"))
    return open_customers(client[_database()], _phase(controlling), layout, timeout_s)


def _phase(client: Client) -> Phase | Control:
    """The phase of this process, or what records the phase of all of them."""
    phase = os.environ.get("CUSTOMERS_PHASE", Phase.COEXIST)
    if phase != "control":
        return Phase(phase)
    lease_s = float(os.environ.get("CUSTOMERS_LEASE_S", "15"))
    return Control(client[_database()]["lazymig_control"], lease_s=lease_s)


def _connect() -> Client:
    return Client(os.environ.get("MONGODB_URI", _DEFAULT_URI))


def _connect_control(client: Client) -> Client:
    uri = os.environ.get("CUSTOMERS_CONTROL_URI")
    return Client(uri) if uri else client


def _database() -> str:
    return os.environ.get("MONGODB_DATABASE", "shop")
