"""The end of V1 while the service goes on: quarantine and back, archive, drop, and V2 alone."""

from __future__ import annotations

import asyncio
from pathlib import Path

import bson
import pytest
from pymongo.errors import WriteError

from examples.customers_in_pydantic import CustomerV2
from lazymig import ConfigurationError, PhaseError, Retirement
from tests.phases.operating import NAME
from tests.phases.walking import Walk


async def retire(walk: Walk, archive: Path) -> None:
    """Take V1 away step by step, with a look at what every client sees in between."""
    database, retirement = walk.operator.database, _retirement(walk, soak_s=0)
    with pytest.raises(WriteError, match="failed validation"):
        await database["customers"].insert_one({"_id": "stray"})
    stored = await database["customers"].count_documents({})
    with pytest.raises(PhaseError, match="quiet V1"):
        await _retirement(walk, soak_s=3600).quarantine()
    for step in (retirement.quarantine, retirement.restore, retirement.quarantine):
        await step()
        await walk.work()
    await retirement.archive(archive)
    assert len(bson.decode_all(await asyncio.to_thread(archive.read_bytes))) == stored
    with pytest.raises(ConfigurationError, match="cannot be undone"):
        await retirement.drop(confirm="customer")
    await retirement.drop(confirm=NAME)
    await walk.work()
    await retirement.reduce(grace_s=0)
    await walk.work()
    await retirement.finish()
    await walk.work()
    names = await database.list_collection_names()
    assert sorted(names) == ["customers_v2", "lazymig_control"]
    with pytest.raises(PhaseError):
        await walk.operator.switch.rollback(by="the walk", why="to see the way back")


async def retire_in_place(walk: Walk, archive: Path) -> None:
    """Take V1's fields out of the documents, and lift V2's, with a look at what every client sees meanwhile."""
    customers, retirement = walk.operator.database["customers"], _retirement(walk, soak_s=0)
    with pytest.raises(PhaseError, match="quiet V1"):
        await _retirement(walk, soak_s=3600).reduce(confirm=NAME)
    with pytest.raises(ConfigurationError, match="confirm it by the migration's name"):
        await retirement.reduce(confirm="customer")
    await retirement.archive(archive)
    kept = bson.decode_all(await asyncio.to_thread(archive.read_bytes))
    assert all("tier_and_details" in one for one in kept)
    await retirement.reduce(confirm=NAME)
    await walk.work()
    await retirement.finish()
    await walk.work()
    left = {name for one in await customers.find({}).to_list(None) for name in one}
    assert left == {"_id", "_lazymig", *(CustomerV2.model_fields.keys() - {"id"})}
    names = await walk.operator.database.list_collection_names()
    assert sorted(names) == ["customers", "lazymig_control"]


def _retirement(walk: Walk, *, soak_s: float) -> Retirement[object, object]:
    return Retirement(
        walk.operator.repository, control=walk.operator.control, soak_s=soak_s, unwatched=True, by="the walk"
    )
