"""What the sweeper's tests share: a migration whose ids may be of any allowed type, and clocks that tests move."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from attrs import frozen
from bson import ObjectId

from lazymig import Control, Migration, Phase, Repository, Sweeper
from lazymig.control import BEAT_S, Passes, parts_of
from lazymig.loop.clock import SYSTEM_CLOCK
from lazymig.stores.server_time import ServerTime
from tests.people import TestClock

Id = int | str | bytes | ObjectId | UUID
#: Commands that change something.
WRITES = {"insert", "update", "delete", "findAndModify", "create", "createIndexes", "drop", "dropIndexes", "aggregate"}


@frozen
class ThingV1:
    """The old shape."""

    id: Id
    n: int
    code: str | None = None


@frozen
class ThingV2:
    """The new shape: another name, and a note that V1 cannot express."""

    id: Id
    count: int
    code: str | None = None
    note: str | None = None


def renamed(v1: ThingV1, previous: ThingV2 | None = None) -> ThingV2:
    """V1 to V2; a negative number does not convert, and the error quotes it as careless code does."""
    if v1.n < 0:
        raise ValueError(f"{v1.n} is negative")
    return ThingV2(v1.id, v1.n, v1.code, previous.note if previous else None)


def named_back(v2: ThingV2) -> ThingV1:
    """V2 to V1."""
    return ThingV1(v2.id, v2.count, v2.code)


def things(**changed: Any) -> Migration[ThingV1, ThingV2]:
    """The migration, with any of its fields changed."""
    fields = {"name": "things", "v1": ThingV1, "v2": ThingV2, "upgrade": renamed, "downgrade": named_back}
    return Migration(**fields | changed)


def repository(database: Any, **options: Any) -> Repository[ThingV1, ThingV2]:
    """A repository on the database's collections `v1` and `v2`."""
    collections = {"v1": database["v1"], "v2": database["v2"]}
    migration = options.pop("migration", None) or things()
    return Repository(migration, **({"phase": Phase.COEXIST} | collections | options))


def sweeper(database: Any, **options: Any) -> Sweeper[ThingV1, ThingV2]:
    """A sweeper in small steps: pages of 4, partitions of 10."""
    clock = options.get("clock", SYSTEM_CLOCK)
    repo = options.pop("repo", None) or repository(database, clock=clock)
    return Sweeper(repo, **({"batch_size": 4, "partition_size": 10} | options))


def control(database: Any, clock: Any = SYSTEM_CLOCK) -> Control:
    """The control collection that a sweep of this database uses."""
    return Control(database["lazymig_control"], clock)


def passes(database: Any, clock: Any = SYSTEM_CLOCK) -> Passes:
    """The passes of its sweeps."""
    return parts_of(control(database, clock)).passes("things", "sweep")


def thing(id: Any, n: int = 1, **changed: Any) -> dict[str, Any]:
    """A V1 document that lazymig never touched, with a field that no class knows."""
    return {"_id": id, "n": n, "code": None, "colour": "red"} | changed


def moved(id: Any, n: int = 1, rev: int = 0, by: str | None = "sweep", **changed: Any) -> dict[str, Any]:
    """The V2 document that a migration of it leaves; `by` whom, None as versions that did not tell."""
    meta = {"rev": rev, "intent": rev, **({} if by is None else {"by": by})}
    return {"_id": id, "count": n, "code": None, "note": None, **changed, "_lazymig": meta}


async def unique_codes(database: Any, driver: str) -> None:
    """An index that lets no two entities of V2 have one code, and takes documents without a body."""
    # The in-memory Mongo lets any number of documents lack a unique field.
    partial = {} if driver == "mock" else {"partialFilterExpression": {"code": {"$exists": True}}}
    await database["v2"].create_index("code", unique=True, **partial)


async def stored(collection: Any) -> dict[Any, dict[str, Any]]:
    """All documents of a collection by the text of their id, for ids that cannot be keys."""
    documents = await collection.find({}).to_list(None)
    return {repr(document["_id"]): document for document in documents}


def by_id(documents: Iterable[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Documents at hand by the text of their id."""
    return {repr(document["_id"]): document for document in documents}


async def letters(database: Any, **which: Any) -> dict[Any, Any]:
    """The dead letters of things by the text of their id."""
    return {repr(letter.id): letter async for letter in control(database).dead_letters("things", **which)}


class StandingClock(TestClock):
    """Stands until it is moved; a long sleep, as a heartbeat's, ends only with its task."""

    async def sleep(self, delay_s: float) -> None:
        if delay_s >= BEAT_S:
            await asyncio.get_running_loop().create_future()
        await super().sleep(delay_s)
        await asyncio.sleep(0)


def server_says(monkeypatch: Any, clock: Any) -> None:
    """Let the server's clock, by which ages are measured, show what this clock shows."""

    async def now(_time: Any) -> datetime:
        return clock.now()  # type: ignore[no-any-return]

    monkeypatch.setattr(ServerTime, "now", now)


class LaterClock:
    """The machine's clock, ahead by some time; sleeping takes one turn of the event loop, and moves it on if wanted."""

    def __init__(self, ahead_s: float = 0, *, moving: bool = True) -> None:
        self.ahead_s = ahead_s
        self.moving = moving
        self.slept: list[float] = []

    def now(self) -> datetime:
        return SYSTEM_CLOCK.now() + timedelta(seconds=self.ahead_s)

    def monotonic(self) -> float:
        return SYSTEM_CLOCK.monotonic() + self.ahead_s

    def random(self) -> float:
        return 0.5

    async def sleep(self, delay_s: float) -> None:
        if delay_s >= BEAT_S:
            await asyncio.get_running_loop().create_future()  # a heartbeat: cancelled when its work is done
        self.slept.append(delay_s)
        if self.moving:
            self.ahead_s += delay_s
        await asyncio.sleep(0)
