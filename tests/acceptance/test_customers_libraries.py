"""One migration in three libraries: the customers as attrs classes, dataclasses and pydantic models, byte for byte."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import bson
import pytest
from pymongo import InsertOne

from lazymig import ConversionError, Phase, Repository, Sweeper
from lazymig.testing import assert_laws, documents_like

# Last on the path: the example comes from the checkout, lazymig from wherever it is installed.
sys.path.append(str(Path(__file__).parents[2]))

from examples import customers, customers_in_dataclasses, customers_in_pydantic

DOCUMENTS = customers.load_documents()
#: How each library makes a changed copy.
CHANGED: dict[str, Callable[..., Any]] = {
    "attrs": attrs.evolve,
    "dataclasses": dataclasses.replace,
    "pydantic": lambda entity, **values: entity.model_copy(update=values),
}
EXAMPLES: dict[str, Any] = {
    "attrs": customers,
    "dataclasses": customers_in_dataclasses,
    "pydantic": customers_in_pydantic,
}
OTHERS = ["dataclasses", "pydantic"]


async def raw(collection: Any) -> list[bytes]:
    """The documents in their bytes, without what lazymig keeps of each write."""
    found = await collection.find({}).sort("_id", 1).to_list(None)
    own = ("_lazymig", "_lazymig_rev")
    return [bson.encode({key: value for key, value in one.items() if key not in own}) for one in found]


async def stored(database: Any, library: str) -> dict[str, list[bytes]]:
    """What a library's migration stores of all customers, swept, and then updated through both doors."""
    v1, v2 = database[f"{library}_v1"], database[f"{library}_v2"]
    await v1.bulk_write([InsertOne(document) for document in DOCUMENTS])
    repo = Repository(EXAMPLES[library].migration, v1=v1, v2=v2, phase=Phase.COEXIST)
    report = await Sweeper(repo).run()
    assert (report.migrated, report.dead) == (len(DOCUMENTS), 0)
    swept = await raw(v2)
    change = CHANGED[library]
    for document in DOCUMENTS[:40]:
        id = document["_id"]
        await repo.update(id, lambda one: change(one, active=not one.active, loyalty_points=one.loyalty_points + 5))
        await repo.v1.update(id, lambda one: change(one, accounts=[*one.accounts, 7], email="new@example.com"))
    return {"swept": swept, "v1": await raw(v1), "v2": await raw(v2)}


async def test_all_store_the_same_bytes(server_database: Any) -> None:
    """Every customer of the file in V2, and both sides after updates through both doors: equal bytes in all three."""
    expected = await stored(server_database, "attrs")
    assert [len(documents) for documents in expected.values()] == [len(DOCUMENTS)] * 3
    unchanged = [bson.encode(document) for document in sorted(DOCUMENTS, key=lambda one: one["_id"])]
    assert sum(one != other for one, other in zip(expected["v1"], unchanged, strict=True)) == 40
    for library in OTHERS:
        assert await stored(server_database, library) == expected


@pytest.mark.parametrize("library", OTHERS)
def test_the_laws_hold_on_documents_like_the_real_ones(library: str) -> None:
    """Each customer of the file and mixtures of them, through each library's classes."""
    example = EXAMPLES[library]
    converter = example.migration.v1_converter
    like = documents_like(DOCUMENTS[:100], example.CustomerV1, converter=converter)
    one = example.upgrade(read(example, DOCUMENTS[0]))
    invented = like.map(lambda document: CHANGED[library](example.upgrade(read(example, document)), username="x"))
    assert one.username == DOCUMENTS[0]["username"]
    assert_laws(example.migration, v1=like, v2=invented, examples=60)


def read(example: Any, document: dict[str, Any]) -> Any:
    """A V1 entity of a document."""
    from lazymig.shapes.conversions import conversions_for

    return conversions_for(example.migration, v1_aware=False, v2_aware=False).v1.decode(document)


@pytest.mark.parametrize("library", OTHERS)
async def test_what_one_refuses_the_others_refuse(server_database: Any, library: str) -> None:
    """A broken address or name, a tier with a fifth key: an error and no body in V2."""
    v1, v2 = server_database["v1"], server_database["v2"]
    repo = Repository(EXAMPLES[library].migration, v1=v1, v2=v2, phase=Phase.COEXIST)
    tier = {"tier": "Gold", "benefits": [], "active": True, "id": "x"}
    broken: list[dict[str, Any]] = [
        {"address": "secret place"},
        {"name": "Secret"},
        {"tier_and_details": {"x": {**tier, "fifth": 5}}},
        {"tier_and_details": {"y": tier}},
        {"accounts": [1, "2"]},
    ]
    for changes in broken:
        await v1.replace_one({"_id": DOCUMENTS[0]["_id"]}, {**DOCUMENTS[0], **changes}, upsert=True)
        with pytest.raises(ConversionError) as caught:
            await repo.get(DOCUMENTS[0]["_id"])
        assert "secret" not in f"{caught.value}".lower()
    assert await v2.count_documents({"username": {"$exists": True}}) == 0
