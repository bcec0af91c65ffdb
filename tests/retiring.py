"""A migration in `v2_only`, with what V1 and V2 hold then, for the tests of V1's retirement."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from lazymig import Phase, Repository, Retirement
from lazymig.control import parts_of
from lazymig.control.watching import Noted
from tests.people import PersonV1, PersonV2, ada, ada_v1, people
from tests.sweeps import LaterClock, control

META = "_lazymig"
DAY_S = 24 * 3600.0


def repository(database: Any, **options: Any) -> Repository[PersonV1, PersonV2]:
    """The people in `v2_only`, whatever is recorded."""
    sides = {"v1": database["v1"], "v2": database["v2"]}
    return Repository(options.pop("migration", None) or people(), **({"phase": Phase.V2_ONLY} | sides | options))


def retirement(database: Any, **options: Any) -> Retirement[PersonV1, PersonV2]:
    """Its retirement; V1 need not be watched, unless it is asked for."""
    clock = options.get("clock") or LaterClock()
    repo = options.pop("repo", None) or repository(database)
    defaults = {"unwatched": True, "soak_s": 0.0, "by": "me", "clock": clock, "control": control(database, clock)}
    return Retirement(repo, **defaults | options)


async def filled(database: Any) -> None:
    """V1 with three documents; V2 with the same entities, one that only V2 has, and one that was deleted."""
    repo = repository(database)
    for id in (1, 2, 3, 4):
        await repo.insert(ada(id))
    await repo.delete(3)
    for id, more in ((1, {"by": "sweep"}), (2, {"by": "read", "conv": 3, "inserts": [1], "raised": 1})):
        meta = {f"{META}.{name}": value for name, value in more.items()}
        await database["v2"].update_one({"_id": id}, {"$set": meta})
    await database["v1"].insert_many([ada_v1(id) for id in (1, 2, 3)])
    await database["v1"].create_index("name")


async def watched(database: Any, clock: LaterClock, *, since: timedelta, **more: Any) -> None:
    """Record a watch of V1 that began this long ago and works still."""
    log = parts_of(control(database, clock)).watching("people")
    claim = await log.claim("me")
    assert claim is not None
    clock.ahead_s -= since.total_seconds()
    await log.begin(claim, {"_data": "00"}, "")
    clock.ahead_s += since.total_seconds()
    assert await log.note(claim, {"_data": "00"}, Noted(**more))


async def names(database: Any) -> set[str]:
    """The names of the database's collections, but for the control collection."""
    return {name for name in await database.list_collection_names() if name != "lazymig_control"}


async def record(database: Any) -> Any:
    """The record of the retirement."""
    return await parts_of(control(database)).retirement("people").find()


async def quiet(database: Any, clock: LaterClock) -> None:
    """Let V1 have been watched for a year."""
    await watched(database, clock, since=timedelta(days=365))


def day(clock: LaterClock) -> str:
    """Today, as the name in quarantine has it."""
    return f"{clock.now():%Y%m%d}"


NEVER = datetime(2000, 1, 1)
