"""Parts of documents under faults, beside a program on the plain driver that writes other fields of the same documents.

What was acknowledged to this program is stored, the answers to clients of lazymig have an order, and a sweep that is
killed leaves nothing that the next one cannot end.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import Any

import pytest
from pymongo.errors import PyMongoError

from lazymig import Control, Sweeper
from lazymig.stores.documents import parse_v2
from lazymig.testing import Server
from tests.faults import parts_nursery
from tests.faults.boxes import BoxV2, as_parts, to_v1
from tests.faults.claims import GRACE_S, Row, illegal, read_back
from tests.faults.conftest import connected
from tests.faults.load import History, ShiftedClock, clients, repository, work
from tests.faults.nurseries import nursery
from tests.faults.test_statements import FAILURES, failing, work_under
from tests.widening import WIDENING

PART = "_lazymig_part"
#: V1's statements: inserts and deletes are updates here. And the ticket, which comes first.
TRIED = ("compare-and-set V1", "ticket", "find V1") if WIDENING.wide else ("compare-and-set V1", "ticket")
FAILED = tuple(FAILURES) if WIDENING.wide else ("error", "write concern error")
IDS = range(8)
COUNT, KILLS, ROUNDS_MAX = 120, 2, 40
#: Calls of clients beside a sweep: more make their histories long.
CALLS_MAX = 60


def document(id: int, *, label: bool) -> dict[str, Any]:
    """A document of others, in which another migration has its revision, with an entity in it or without."""
    held = {"label": f"legacy.{id}#0"} if label else {}
    return {"_id": id, "color": f"c{id}", PART: {"another": 7}, **held}


class Service:
    """A program on the plain driver: it counts in fields of its own, and knows what was acknowledged."""

    def __init__(self, database: Any, ids: range, seed: int) -> None:
        self._v1 = database["v1"]
        self._ids = ids
        self._random = random.Random(seed)
        #: By document: increments that were acknowledged, and those of which nobody knows.
        self.done, self.unknown = Counter[int](), Counter[int]()

    async def run(self) -> None:
        """Write until cancelled."""
        while True:
            id = self._random.choice(self._ids)
            try:
                result = await self._v1.update_one({"_id": id}, {"$inc": {"logins": 1}, "$set": {"seen.by": "service"}})
                assert result.matched_count, "a document of others is gone"
                self.done[id] += 1
            except PyMongoError:
                self.unknown[id] += 1
            await asyncio.sleep(0)

    @asynccontextmanager
    async def at_work(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.run())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def judge(self) -> list[str]:
        """What is wrong with the fields of others."""
        wrong = []
        async for row in self._v1.find():
            id, least = row["_id"], self.done[row["_id"]]
            # One that was cancelled under way may have happened as well.
            if not least <= row.get("logins", 0) <= least + self.unknown[id] + 1:
                wrong.append(
                    f"{id}: {least} to {least + self.unknown[id] + 1} logins, and {row.get('logins', 0)} stored"
                )
            if row["color"] != f"c{id}" or row[PART].get("another") != 7:
                wrong.append(f"{id}: another field was changed: {row}")
        return wrong


async def disagreements(database: Any, clock: ShiftedClock) -> list[str]:
    """Sweep with all marks old, and compare V2 with the parts of V1."""
    clock.ahead += timedelta(seconds=GRACE_S * 3)
    boxes, control = repository(database, clock, migration=as_parts), Control(database["control"], clock)
    report = await Sweeper(boxes, control=control, grace_s=GRACE_S, clock=clock).run()
    wrong = [] if report.finished and not report.needs_person else [f"the sweep did not end well: {report}"]
    held = {row["_id"]: row async for row in database["v1"].find({"label": {"$exists": True}})}
    seen = {row["_id"]: row async for row in database["v2"].find()}
    for id in sorted({*held, *seen}):
        if id not in held or id not in seen:
            wrong.append(f"{id}: in V1 {held.get(id)}, in V2 {seen.get(id)}")
            continue
        stored, label = parse_v2(seen[id]), to_v1(BoxV2(id, seen[id].get("writer"), seen[id].get("count"))).label
        if not stored.clean or stored.revision != held[id][PART].get("boxes", 0) or label != held[id]["label"]:
            wrong.append(f"{id}: V1 {held[id]}, V2 {seen[id]}")
    left = await database["v1"].count_documents({"label": {"$exists": False}, f"{PART}.boxes": {"$gt": 0}})
    return [*wrong, *([f"{left} documents without an entity keep a revision"] if left else [])]


@pytest.mark.parametrize("failure", FAILED)
@pytest.mark.parametrize("statement", TRIED)
async def test_server_fails(
    mortal_server: Server, ledger: Any, seed: int, wide: int, statement: str, failure: str
) -> None:
    """Where the server refuses or does not acknowledge a statement, both programs' claims hold."""
    if statement.startswith("find") and failure == "write concern error":
        pytest.skip("a read has no write concern")
    wrong, injected, calls, uncertain, clock = [], 0, 0, 0, ShiftedClock()
    for number in range(wide):
        async with connected(mortal_server.uri) as database:
            history = History({id: (f"legacy.{id}", 0) for id in IDS if id % 2})
            crowd = clients(database, history, IDS, seed + number, clock, count=6, migration=as_parts)
            service = Service(database, IDS, seed + number)
            async with failing(mortal_server, statement, failure) as fault:
                await database["v1"].insert_many([document(id, label=id % 2 == 1) for id in IDS])
                async with service.at_work():
                    await work_under(crowd, history, fault)
            injected += fault.injected
            wrong += await disagreements(database, clock)
            await read_back(database, history, IDS, clock, as_parts)
            wrong += await service.judge() + illegal(history)
            calls, uncertain = calls + history.calls, uncertain + history.counts["uncertain"]
            assert sum(service.done.values()) > len(IDS), "the service was not there"
    print(*wrong, sep="\n")
    ledger(Row(f"part, {statement}: {failure}", injected, calls, uncertain, wide * len(IDS), len(wrong)))
    assert injected
    assert not wrong


async def test_kill_a_sweep(lazymig_server: Any, server_database: Any, seed: int, wide: int) -> None:
    """Killed at random moments, with both programs at work, a sweep leaves what the next one ends."""
    rng, kills, database, ids = random.Random(seed), 0, server_database, range(COUNT)
    async with nursery(lazymig_server.uri, database, parts_nursery.__file__) as children:
        for number in range(ROUNDS_MAX * wide):
            for name in ("v1", "v2", "control", "lazymig_control"):
                await database[name].delete_many({})
            await database["v1"].insert_many([document(id, label=id % 3 > 0) for id in ids])
            history, clock = History({id: (f"legacy.{id}", 0) for id in ids if id % 3}), ShiftedClock()
            crowd = clients(database, history, ids, seed + number, clock, count=4, migration=as_parts)
            service = Service(database, ids, seed + number)
            async with service.at_work():
                await children.sweep(dies_at=children.draw(rng))
                over = asyncio.create_task(children.end())

                def going(history: History = history, over: asyncio.Task[bool] = over) -> bool:
                    return history.calls < CALLS_MAX and not over.done()

                await work(crowd, going)
                kills += await over
            assert await disagreements(database, clock) == []
            await read_back(database, history, ids, clock, as_parts)
            assert await service.judge() + illegal(history) == []
            if kills >= KILLS * wide:
                break
    print(f"{kills} kills in {number + 1} rounds")
    assert kills >= KILLS * wide
