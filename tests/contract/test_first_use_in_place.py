"""The checks before the first call on a collection whose documents carry both shapes: each refusal is provoked."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from attrs import frozen
from bson import Binary
from bson.binary import OLD_UUID_SUBTYPE

from lazymig import ConfigurationError, Phase
from tests.sweeps import stored
from tests.wholes import NAME, filled, put, whole_repository, whole_things

Database = Any
SCHEMA: dict[str, Any] = {"bsonType": "object", "additionalProperties": False}
#: What the validator of a user allows: all fields of V1.
V1_FIELDS: dict[str, Any] = {name: {} for name in ("_id", "n", "code", "colour")}


async def _create(database: Database, **options: Any) -> None:
    await database.create_collection(NAME, **options)


async def _view(database: Database) -> None:
    await database.create_collection(NAME, viewOn="other", pipeline=[])


async def _validator(database: Database, *names: str, meta: Any = None) -> None:
    properties = {**V1_FIELDS, **{key: {} for key in names}, **({} if meta is None else {"_lazymig": meta})}
    await _create(database, validator={"$jsonSchema": {**SCHEMA, "properties": properties}})
    await put(database, [1])


async def _strict_meta(database: Database) -> None:
    await _validator(database, "count", "note")
    rule = {"$or": [{"_lazymig": {"$exists": False}}, {"_lazymig.rev": {"$lt": 5}}]}
    await database.command("collMod", NAME, validator=rule)


async def _unique(database: Database, **options: Any) -> None:
    await put(database, [1])
    await database[NAME].create_index("count", unique=True, **options)


async def _unique_in_v1(database: Database) -> None:
    await filled(database, [1])
    await database[NAME].create_index("n", unique=True)


async def _leftover(database: Database) -> None:
    await put(database, [1, 2], _lazymig={"rev": 3, "intent": 3, "by": "sweep"})


async def _ended(database: Database) -> None:
    await put(database, [1, 2], _lazymig={"rev": 3, "alone": "things"})


async def _taken(database: Database) -> None:
    await put(database, [1, 2, 3], note="theirs")


async def _taken_in_few(database: Database) -> None:
    await put(database, range(9))
    await put(database, [10, 11, 12], note="theirs")


async def _legacy(database: Database) -> None:
    await put(database, [Binary(b"5" * 16, OLD_UUID_SUBTYPE)])


async def _of_another(database: Database) -> None:
    await put(database, range(20), _lazymig={"rev": 3, "of": b"0" * 16, "by": "write", "alone": "another"})


@frozen
class Wrong:
    """A collection that lazymig cannot work with, and what it says."""

    make: Callable[[Database], Awaitable[None]]
    says: str
    phase: Phase = Phase.COEXIST


WRONG = {
    "capped": Wrong(lambda one: _create(one, capped=True, size=4096), "collection: .* is capped"),
    "time series": Wrong(lambda one: _create(one, timeseries={"timeField": "at"}), "a time series"),
    "a view": Wrong(_view, "a view, which cannot be written"),
    "collated": Wrong(lambda one: _create(one, collation={"locale": "en"}), "simple collation"),
    "no meta data": Wrong(lambda one: _validator(one, "count", "note"), "add '_lazymig' to what it allows"),
    "no field of V2": Wrong(lambda one: _validator(one, "count", meta={}), "does not allow V2's field 'note'"),
    "small revisions": Wrong(_strict_meta, "does not allow lazymig's own field"),
    "unique": Wrong(_unique, "documents without a V2 part collide"),
    "unique in V1, at the end": Wrong(_unique_in_v1, "inserted in this phase collide", Phase.V2_ONLY),
    "meta data of two collections": Wrong(_leftover, "was V2 of another migration"),
    "meta data of one that has ended": Wrong(_ended, "V1's fields were taken .* reduce --strip", Phase.V1_ONLY),
    "the same, later": Wrong(_ended, "start in Phase.V2_ONLY", Phase.V2_PRIMARY),
    "taken": Wrong(_taken, "a field 'note' already, which V1 does not declare"),
    "legacy UUIDs": Wrong(_legacy, "binary subtype 3"),
    "not swept": Wrong(lambda one: put(one, range(20)), "20 of 20 documents .* have no V2 part", Phase.V2_PRIMARY),
    "another migration's": Wrong(_of_another, "20 of 20 documents .* have no V2 part", Phase.V2_PRIMARY),
    "another migration's, at the end": Wrong(_of_another, "20 of 20 documents .* have no V2 part", Phase.V2_ONLY),
    "not swept at the end": Wrong(lambda one: put(one, range(20)), "have no V2 part", Phase.V2_ONLY),
}


@pytest.mark.parametrize("name", WRONG)
async def test_what_cannot_work_is_refused_before_anything_is_stored(server_database: Any, name: str) -> None:
    """The first call names what is wrong and what to change, and leaves the documents as they are."""
    wrong = WRONG[name]
    await wrong.make(server_database)
    before = {} if name == "a view" else await stored(server_database[NAME])
    repo = whole_repository(server_database, phase=wrong.phase)
    for _ in range(2):
        with pytest.raises(ConfigurationError, match=wrong.says):
            await repo.update(1, lambda v2: v2)
    with pytest.raises(ConfigurationError, match=wrong.says):
        await repo.get(1)
    assert (await stored(server_database[NAME]) if name != "a view" else {}) == before


async def _ttl(database: Database) -> None:
    await put(database, [1])
    await database[NAME].create_index("at", expireAfterSeconds=3600)


async def _one_lost_its_meta(database: Database) -> None:
    await filled(database, range(1, 8))
    await database[NAME].update_one({"_id": 1}, {"$unset": {"_lazymig": ""}})
    await database[NAME].update_one({"_id": 1}, {"$unset": {"count": "", "note": ""}, "$set": {"n": 1}})
    await database[NAME].update_one({"_id": 7}, {"$unset": {"_lazymig": ""}})


async def _a_few_are_new(database: Database) -> None:
    await filled(database, range(21))
    await put(database, [f"new {number}" for number in range(20)])


RIGHT: dict[str, tuple[Callable[[Database], Awaitable[Any]], Phase]] = {
    "empty": (lambda one: _create(one), Phase.V2_PRIMARY),
    "absent": (lambda one: one["other"].insert_one({}), Phase.V2_ONLY),
    "every field allowed": (lambda one: _validator(one, "count", "note", meta={}), Phase.COEXIST),
    "unique where it is": (
        lambda one: _unique(one, partialFilterExpression={"count": {"$exists": True}}),
        Phase.COEXIST,
    ),
    "unique in V1": (_unique_in_v1, Phase.V2_PRIMARY),
    "sparse": (lambda one: _unique(one, sparse=True), Phase.COEXIST),
    "TTL": (_ttl, Phase.COEXIST),
    "one without meta data among others": (_one_lost_its_meta, Phase.COEXIST),
    "one document, which another program has inserted": (lambda one: put(one, [1]), Phase.V2_ONLY),
    "a field of somebody else in a few documents": (_taken_in_few, Phase.COEXIST),
    "other programs have inserted some": (_a_few_are_new, Phase.V2_PRIMARY),
    "inserted by a process in v2_only": (
        lambda one: put(one, [1], count=1, note=None, _lazymig={"rev": 3, "by": "write", "alone": "things"}),
        Phase.V2_PRIMARY,
    ),
    "all have been inserted since the end of V1": (
        lambda one: put(one, range(20), count=1, note=None, _lazymig={"rev": 3, "by": "write", "alone": "things"}),
        Phase.V2_ONLY,
    ),
    "nothing is stored in V2's fields yet": (_taken, Phase.V1_ONLY),
}


@pytest.mark.parametrize("name", RIGHT)
async def test_what_works_is_not_refused(server_database: Any, name: str) -> None:
    """A collection that is all right, or damaged in one document only, is worked with."""
    make, phase = RIGHT[name]
    await make(server_database)
    repo = whole_repository(server_database, phase=phase)
    entity = await repo.get(1)
    assert (entity is None) == (name in ("empty", "absent"))


async def test_the_remedy_is_one(server_database: Any) -> None:
    """With `v2_within`, as the refusal says, a name that is taken is no obstacle, and stays as it was."""
    await _taken(server_database)
    repo = whole_repository(server_database, migration=whole_things(v2_within="profile"))
    entity = await repo.get(1)
    assert entity is not None
    document = await server_database[NAME].find_one({"_id": 1})
    assert (document["note"], document["profile"]["note"]) == ("theirs", None)


async def test_a_refused_write_looks_again(server_database: Any) -> None:
    """A validator that came after the first call is named where it refuses a write, without what was to be stored."""
    repo = await filled(server_database, [1])
    rule = {"$jsonSchema": {**SCHEMA, "properties": {**V1_FIELDS, "_lazymig": {}, "count": {}}}}
    await server_database.command("collMod", NAME, validator=rule)
    with pytest.raises(ConfigurationError, match="does not allow V2's field 'note'"):
        await repo.update(1, lambda v2: v2.__class__(v2.id, 5))
