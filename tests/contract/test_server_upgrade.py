"""The statements that let a server convert: what the user's stages make, and what lazymig keeps through them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from bson.raw_bson import RawBSONDocument

from lazymig.stores.records import Put
from lazymig.stores.server_upgrade import Conversion, ServerUpgrade

V1 = {"_id": 1, "name": "Ada", "n": 5, "sub": {"a": 1, "b": {"c": 2, "d": 3}}, "_lazymig_rev": 7}
META = {"rev": 7, "intent": 7, "by": "sweep"}


def upgrade(database: Any, *stages: Any, conv: int = 1) -> ServerUpgrade:
    """The statements with these stages."""
    return ServerUpgrade(database["v1"], database["v2"], stages, conv)


async def merged(database: Any, made: ServerUpgrade, ids: Sequence[Any] = (1,), *, keeping: bool = False) -> Put:
    """The outcome of a merge."""
    return (await made.merge(list(ids), keeping=keeping, within_s=30)).outcome


@pytest.mark.parametrize("keeping", [False, True])
@pytest.mark.parametrize(
    ("stages", "body"),
    [
        ([{"$set": {"m": "$n"}}, {"$unset": ["n", "sub"]}], {"name": "Ada", "m": 5}),
        ([{"$addFields": {"sub.a": 9}}, {"$unset": "sub.b"}], {"name": "Ada", "n": 5, "sub": {"a": 9}}),
        ([{"$project": {"m": "$n"}}], {"m": 5}),
        ([{"$project": {"_id": 1, "name": True}}], {"name": "Ada"}),
        ([{"$project": {"sub.b.c": 1, "z": {"$literal": 0}}}], {"sub": {"b": {"c": 2}}, "z": 0}),
        ([{"$project": {"sub": {"b": {"d": 1}}}}], {"sub": {"b": {"d": 3}}}),
        ([{"$project": {"name": 0, "sub": {"b": {"d": 0}}}}], {"n": 5, "sub": {"a": 1, "b": {"c": 2}}}),
        ([{"$project": {"name": False, "sub.b": 0}}], {"n": 5, "sub": {"a": 1}}),
        ([{"$replaceWith": {"z": "$n", "_id": 99, "a": "$name"}}], {"z": 5, "a": "Ada"}),
        ([{"$replaceRoot": {"newRoot": "$sub"}}, {"$set": {"made": "$$ROOT.b.c"}}], {**V1["sub"], "made": 2}),
        ([{"$replaceWith": {"$mergeObjects": ["$sub", {"b": 0}]}}], {"a": 1, "b": 0}),
        ([{"$replaceWith": {"$let": {"vars": {"made": "$sub"}, "in": "$$made"}}}], V1["sub"]),
        ([{"$match": {"n": 5}}, {"$project": {"n": 1}}, {"$match": {"name": None}}], {"n": 5}),
    ],
    ids=str,
)
async def test_what_stages_make(server_database: Any, stages: list[Any], body: dict[str, Any], keeping: bool) -> None:
    """Each stage means what it means to the server, and the id and V1's revision come through all of them."""
    await server_database["v1"].insert_one(V1)
    made = upgrade(server_database, *stages)
    assert await merged(server_database, made, keeping=keeping) is Put.STORED
    (stored,) = await server_database["v2"].find({}).to_list(None)
    assert stored == {"_id": 1, **body, "_lazymig": META}
    # In this order, as an insert of Python's stores it: no update operator has sorted the fields.
    assert list(stored) == ["_id", *body, "_lazymig"]
    conversion = await made.convert([1])
    assert isinstance(conversion, Conversion)
    assert [(one.truth.revision, one.truth.document, one.body) for one in conversion.made] == [(7, V1, body)]


@pytest.mark.parametrize("made", ["$nothing", None, "$name", "$n", ["$sub"], {"$literal": 5}], ids=str)
async def test_what_is_no_document_fails_the_stage(server_database: Any, made: Any) -> None:
    """As without lazymig: an entity is never stored as an empty body instead."""
    await server_database["v1"].insert_one(V1)
    statements = upgrade(server_database, {"$replaceWith": made})
    assert await merged(server_database, statements) is Put.REFUSED
    assert isinstance(await statements.convert([1]), str)
    assert await server_database["v2"].count_documents({}) == 0


async def test_a_name_with_a_dot_is_a_name(server_database: Any) -> None:
    """It is no path, whether V2 has other documents already or not."""
    dotted = {"$replaceWith": {"$arrayToObject": [[{"k": "a.b", "v": 1}]]}}
    await server_database["v1"].insert_many([V1, {**V1, "_id": 2}])
    statements = upgrade(server_database, dotted)
    assert await merged(server_database, statements, [1]) is Put.STORED
    assert await merged(server_database, statements, [1, 2]) is Put.LOST
    assert await merged(server_database, statements, [1, 2], keeping=True) is Put.STORED
    options = server_database.codec_options.with_options(document_class=RawBSONDocument)
    bodies = [one.raw for one in await server_database["v2"].with_options(options).find({}).to_list(None)]
    assert [b"\x10a.b\0" in raw for raw in bodies] == [True, True]


async def test_lazymigs_own_fields_of_v1_do_not_reach_v2(server_database: Any) -> None:
    """V1 may have been a V2 once, or carry parts of other migrations: V2 gets neither."""
    await server_database["v1"].insert_one({**V1, "_lazymig": {"rev": 3, "gone": True}, "_lazymig_part": {"x": 1}})
    await merged(server_database, upgrade(server_database, {"$project": {"sub": 0}}, conv=4))
    (stored,) = await server_database["v2"].find({}).to_list(None)
    assert stored == {"_id": 1, "name": "Ada", "n": 5, "_lazymig": META | {"conv": 4}}


async def test_one_reply_holds_what_it_can(server_database: Any) -> None:
    """Documents that one reply does not hold are left to the next, and the caller learns it."""
    large = "x" * 3_000_000
    await server_database["v1"].insert_many([{"_id": id, "text": large} for id in range(6)])
    statements, ids, rounds = upgrade(server_database, {"$set": {"copy": 1}}), list(range(6)), 0
    while ids:
        conversion = await statements.convert(ids)
        assert isinstance(conversion, Conversion)
        found = {one.truth.id for one in conversion.made}
        ids, rounds = [id for id in ids if id not in found], rounds + 1
        assert not (conversion.complete and ids)
    assert rounds > 1


async def test_what_v2_has_is_counted_and_found(server_database: Any) -> None:
    """Only what a sweep brought counts as moved by it, whatever stands in documents of others."""
    metas: list[Any] = [{"rev": 2, "by": "sweep"}, {"rev": 3, "by": "read"}, {"rev": "x"}, 5]
    await server_database["v2"].insert_many([{"_id": id, "_lazymig": one} for id, one in enumerate(metas)])
    await server_database["v2"].insert_one({"_id": 9})
    statements = upgrade(server_database)
    assert await statements.count_moved([0, 1, 2, 3, 7, 9]) == 1
    found = sorted(await statements.find_moved([0, 1, 2, 3, 7, 9]))
    assert found == [(0, 2, True), (1, 3, False), (2, -1, False), (3, -1, False), (9, -1, False)]
