"""Documents of three versions in one collection: what a service declares that only upcasts, without a second one."""

import os
from typing import Any

from attrs import frozen
from pymongo import AsyncMongoClient

from lazymig import Migration, Phase, Repository, upcasters


@frozen
class Address:
    city: str
    country: str


@frozen
class Member:
    """The newest version, which is the only one that the service knows."""

    id: int
    first: str
    last: str
    address: Address


def split_name(document: dict[str, Any]) -> dict[str, Any]:
    """Version 1 to 2."""
    document["first"], document["last"] = document.pop("name").split(" ", 1)
    return document


def nest_city(document: dict[str, Any]) -> dict[str, Any]:
    """Version 2 to 3."""
    document["address"] = {"city": document.pop("city"), "country": "GB"}
    return document


migration = Migration.upcasting("members", Member, upcasters({1: split_name, 2: nest_city}, persist=True))


def repository() -> Repository[Member, Member]:
    """What `lazymig --app examples.older_shapes:repository` opens."""
    client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(os.environ.get("MONGODB_URI", "mongodb://localhost"))
    members = client[os.environ.get("MONGODB_DATABASE", "shop")]["members"]
    return Repository(migration, v1=members, phase=Phase.V1_ONLY)
