"""Documents of three versions in one collection, for the tests of upcasters."""

from __future__ import annotations

from typing import Any

from attrs import frozen

import lazymig
from lazymig import Migration


@frozen
class Address:
    """Where somebody lives, since version 3."""

    city: str
    country: str = "GB"


@frozen
class Buyer:
    """The class of version 3. It does not declare the version."""

    id: int
    first: str
    last: str
    address: Address
    visits: int = 0


@frozen
class BuyerV2:
    """The shape of the second collection."""

    id: int
    name: str
    city: str
    country: str
    visits: int = 0


def split(document: dict[str, Any]) -> dict[str, Any]:
    """Version 1 to 2: the name is split in two."""
    document["first"], document["last"] = document.pop("name").split(" ", 1)
    return document


def move_in(document: dict[str, Any]) -> dict[str, Any]:
    """Version 2 to 3: the city becomes a part of an address."""
    city = document.pop("city")
    return {**document, "address": {"city": city, "country": "GB"}}


def chain(**options: Any) -> lazymig.Upcasters:
    """The chain of both steps."""
    return lazymig.upcasters({1: split, 2: move_in}, **options)


def document(version: int | None, id: int = 1, **more: Any) -> dict[str, Any]:
    """Ada as a stored document of a version (None: the first, without the field), with a field that no class knows."""
    shape: dict[int | None, dict[str, Any]] = {
        None: {"name": "Ada Lovelace", "city": "London"},
        1: {"name": "Ada Lovelace", "city": "London"},
        2: {"first": "Ada", "last": "Lovelace", "city": "London"},
    }
    newest = {"first": "Ada", "last": "Lovelace", "address": {"city": "London", "country": "GB"}}
    stated = {} if version is None else {"schema_version": version}
    return {"_id": id, "shoe": 38, **shape.get(version, newest), "visits": 2, **stated, **more}


ADA = Buyer(1, "Ada", "Lovelace", Address("London"), 2)


def upgrade(v1: Buyer) -> BuyerV2:
    """V1 to V2."""
    return BuyerV2(v1.id, f"{v1.first} {v1.last}", v1.address.city, v1.address.country, v1.visits)


def downgrade(v2: BuyerV2) -> Buyer:
    """V2 to V1."""
    first, last = v2.name.split(" ", 1)
    return Buyer(v2.id, first, last, Address(v2.city, v2.country), v2.visits)


def buyers(**changed: Any) -> Migration[Buyer, BuyerV2]:
    """The migration from a collection of three versions to a second collection."""
    fields = {"name": "buyers", "v1": Buyer, "v2": BuyerV2, "upgrade": upgrade, "downgrade": downgrade}
    return Migration(**{**fields, "upcasters": chain(), **changed})


def alone(**options: Any) -> Migration[Buyer, Buyer]:
    """The migration of one collection without a second one."""
    return Migration.upcasting("buyers", Buyer, chain(**options))
