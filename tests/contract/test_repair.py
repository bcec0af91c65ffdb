"""A repair brings V2 to what V1 holds, where V2 claims to be clean and is wrong."""

from __future__ import annotations

from typing import Any

import pytest

from lazymig import ConversionError, protocol
from lazymig.following.healing import heal_one
from lazymig.repository import calls_of
from tests.sweeps import StandingClock, moved, repository, stored, thing


async def repaired(database: Any, id: int) -> bool:
    """What a follower does at an event of this entity; by a clock that stands, no read of V1 is old."""
    return await protocol.repair(calls_of(repository(database, clock=StandingClock())).pair, id)


async def test_a_changed_entity_gets_a_new_revision_and_body(database: Any) -> None:
    """Where V1 was changed without a new revision, both sides are at a new one afterwards, and V2's own field stays."""
    await database["v1"].insert_one(thing(1, 8, _lazymig_rev=2))
    await database["v2"].insert_one(moved(1, rev=2, note="kept"))
    assert await repaired(database, 1)
    assert (await stored(database["v2"]))["1"] == moved(1, 8, rev=3, note="kept")
    assert (await stored(database["v1"]))["1"] == thing(1, 8, _lazymig_rev=3)


async def test_an_orphan_becomes_a_tombstone(database: Any) -> None:
    """Where V1 lost the entity, V2 keeps a tombstone and nothing of the body, and no read finds the entity."""
    await database["v2"].insert_one(moved(1, rev=2))
    assert not await repaired(database, 1)
    document = (await stored(database["v2"]))["1"]
    assert set(document) == {"_id", "_lazymig"}
    meta = document["_lazymig"]
    assert (meta["rev"], meta["intent"], meta["gone"]) == (3, 3, True)
    assert await repository(database).get(1) is None


async def test_what_both_lack_gets_a_tombstone(database: Any) -> None:
    """Even where V2 holds nothing, a tombstone keeps out the conversion of a slow reader."""
    assert not await repaired(database, 1)
    meta = (await stored(database["v2"]))["1"]["_lazymig"]
    assert (meta["rev"], meta["intent"], meta["gone"]) == (1, 1, True)


async def test_what_v2_lacks_is_stored_at_v1s_revision(database: Any) -> None:
    """Where V2 is absent, V1 is not written."""
    await database["v1"].insert_one(thing(1, 8))
    assert await repaired(database, 1)
    assert (await stored(database["v2"]))["1"] == moved(1, 8, rev=0, by="read")
    assert (await stored(database["v1"]))["1"] == thing(1, 8)


async def test_a_dropped_revision_is_overtaken(database: Any) -> None:
    """Where a program replaced V1's document without its revision, V1 continues above V2's."""
    await database["v1"].insert_one(thing(1, 8))
    await database["v2"].insert_one(moved(1, rev=7))
    assert await repaired(database, 1)
    assert (await stored(database["v2"]))["1"] == moved(1, 8, rev=8)
    assert (await stored(database["v1"]))["1"] == thing(1, 8, _lazymig_rev=8)


async def test_damaged_meta_data_are_overtaken(database: Any) -> None:
    """Where V2 claims a revision that nobody announced, both sides are above it afterwards."""
    await database["v1"].insert_one(thing(1, 8, _lazymig_rev=2))
    await database["v2"].insert_one({**moved(1), "_lazymig": {"rev": 999, "intent": 0, "by": "sweep"}})
    assert await repaired(database, 1)
    document = (await stored(database["v2"]))["1"]
    assert document["count"] == 8
    assert document["_lazymig"]["rev"] == document["_lazymig"]["intent"] == 1001
    assert (await stored(database["v1"]))["1"] == thing(1, 8, _lazymig_rev=1001)


async def test_what_does_not_convert_no_longer_answers(database: Any) -> None:
    """A V1 document that does not convert raises, and V2's body of what V1 held before answers no more."""
    await database["v1"].insert_one({"_id": 1, "_lazymig_rev": 2})
    await database["v2"].insert_one(moved(1, rev=2))
    with pytest.raises(ConversionError):
        await repaired(database, 1)
    with pytest.raises(ConversionError):
        await repository(database).get(1)
    assert (await stored(database["v1"]))["1"] == {"_id": 1, "_lazymig_rev": 3}
    meta = (await stored(database["v2"]))["1"]["_lazymig"]
    assert (meta["rev"], meta["intent"]) == (2, 3)


async def test_what_does_not_convert_is_no_writers_to_heal(database: Any) -> None:
    """A later heal does not take V2's earlier body for V1's content either."""
    await database["v1"].insert_one({"_id": 1, "_lazymig_rev": 2})
    await database["v2"].insert_one(moved(1, rev=2))
    with pytest.raises(ConversionError):
        await repaired(database, 1)
    with pytest.raises(ConversionError):
        await protocol.heal(calls_of(repository(database)).pair, 1)


async def test_an_earlier_entitys_values_do_not_reach_an_inserted_one(database: Any) -> None:
    """Where another program inserted the entity anew, what only V2 held of the earlier one is gone."""
    await database["v1"].insert_one(thing(1, 8))
    await database["v2"].insert_one(moved(1, rev=7, note="of the earlier one"))
    pair = calls_of(repository(database)).pair
    assert await heal_one(pair, 1, inserted=True)
    assert (await stored(database["v2"]))["1"]["note"] is None
    assert (await repository(database).get(1)).count == 8
