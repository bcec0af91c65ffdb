"""The repository of the service, and of the sweeper that runs beside it."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from pymongo import AsyncMongoClient

from examples.customers_in_pydantic import CustomerV1, CustomerV2, migration
from lazymig import Phase, Repository

Customers = Repository[CustomerV1, CustomerV2]

_DEFAULT_URI = "mongodb://127.0.0.1:27017/?replicaSet=rs0"


async def repository() -> Customers:
    """The repository, for `lazymig sweep --app examples.service.app:repository` and for the service itself.

    Reads `MONGODB_URI`, `MONGODB_DATABASE`, `CUSTOMERS_PHASE` and `CUSTOMERS_TIMEOUT_S` from the environment. A
    coroutine, because a client of MongoDB belongs to the event loop it is made in.
    """
    client = AsyncMongoClient[dict[str, object]](os.environ.get("MONGODB_URI", _DEFAULT_URI))
    database = client[os.environ.get("MONGODB_DATABASE", "shop")]
    phase = Phase(os.environ.get("CUSTOMERS_PHASE", Phase.COEXIST))
    # Together all round trips of one request take no longer than a client would wait for them.
    timeout_s = float(os.environ.get("CUSTOMERS_TIMEOUT_S", "10"))
    return Repository(
        migration, v1=database["customers"], v2=database["customers_v2"], phase=phase, timeout_s=timeout_s
    )


@asynccontextmanager
async def opened() -> AsyncIterator[Customers]:
    """The repository for as long as the service runs; afterwards its connections are closed."""
    customers = await repository()
    try:
        async with customers:
            yield customers
    finally:
        await customers.collections.v1.database.client.close()
