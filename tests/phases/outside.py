"""A program that has never heard of lazymig: it reads and writes the customers' documents by the plain driver."""

from __future__ import annotations

import asyncio
import datetime as dt
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random
from typing import Any

from attrs import define
from bson import ObjectId
from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError
from pymongo.read_concern import ReadConcern

from lazymig.loop.clock import SYSTEM_CLOCK
from lazymig.testing.linearizability import Operation, Outcome
from tests.phases.clients import HOT, History, Value, hot_id
from tests.phases.walking import Walk

#: How often it does what, relative to the others.
_WEIGHTS = {"get": 3, "rename": 4, "email": 4, "insert": 2, "delete": 1}
#: What it counts in the history.
OUTSIDE = "outside"
_BORN = dt.datetime(1977, 3, 2, 2, 20, 31)


def _value(document: dict[str, Any] | None) -> Value | None:
    return None if document is None else (document["email"], document["name"])


@define
class Outsider:
    """One such program."""

    name: str
    customers: Any
    history: History
    random: Random
    _made: int = 0

    async def run(self, think_s: float, stopping: asyncio.Event) -> None:
        """Read and write, with a pause after each, until it is to stop."""
        while not stopping.is_set():
            await self._act()
            await SYSTEM_CLOCK.sleep(self.random.uniform(0, 2 * think_s))

    async def _act(self) -> None:
        self._made += 1
        id, token = hot_id(int(HOT * self.random.random() ** 2)), f"{self.name}x{self._made}"
        match self.random.choices(list(_WEIGHTS), list(_WEIGHTS.values()))[0]:
            case "get":
                await self._record("get", id, None, self._get(id))
            case "email":
                await self._record("update", id, lambda value: (token, value[1]), self._set(id, {"email": token}))
            case "rename":
                changed = {"name": f"Outside {token}"}
                await self._record("update", id, lambda value: (value[0], changed["name"]), self._set(id, changed))
            case "insert":
                document = _document(id, token)
                await self._record("insert", id, _value(document), self._insert(document))
            case "delete":
                await self._record("delete", id, None, self._delete(id))

    async def _record(self, verb: str, id: str, argument: Any, call: Any) -> None:
        called_at = time.monotonic()
        key = self.history.begin(Operation(self.name, verb, argument, Outcome.UNCERTAIN, called_at, None, id))
        result = await call
        self.history.end(key)
        self.history.counts[OUTSIDE] += 1
        self.history.operations.append(Operation(self.name, verb, argument, result, called_at, time.monotonic(), id))

    async def _get(self, id: str) -> Value | None:
        return _value(await self.customers.find_one({"_id": ObjectId(id)}))

    async def _set(self, id: str, changed: dict[str, str]) -> Value | Outcome:
        found = await self.customers.find_one_and_update(
            {"_id": ObjectId(id)}, {"$set": changed}, return_document=ReturnDocument.AFTER
        )
        return _value(found) or Outcome.NOT_FOUND

    async def _insert(self, document: dict[str, Any]) -> Value | Outcome | None:
        try:
            await self.customers.insert_one(document)
        except DuplicateKeyError:
            return Outcome.ALREADY_EXISTS
        return _value(document)

    async def _delete(self, id: str) -> Outcome:
        found = await self.customers.delete_one({"_id": ObjectId(id)})
        return Outcome.DONE if found.deleted_count else Outcome.NOT_FOUND


def _document(id: str, token: str) -> dict[str, Any]:
    return {
        "_id": ObjectId(id), "username": token, "name": f"Outside {token}", "address": "PSC 1, Box 2\nAPO AE 09012",
        "birthdate": _BORN, "email": token, "accounts": [1, 2], "tier_and_details": {},
    }  # fmt: skip


@asynccontextmanager
async def outsiders(walk: Walk, *, count: int) -> AsyncIterator[None]:
    """Such programs, at work within the block."""
    stopping, draw = asyncio.Event(), walk.clients[0].random
    # By default the driver reads what no majority has yet, ahead of the write's own answer; lazymig never does.
    customers = walk.operator.database["customers"].with_options(read_concern=ReadConcern("majority"))
    programs = [Outsider(f"o{number}", customers, walk.history, Random(draw.random())) for number in range(count)]
    async with asyncio.TaskGroup() as tasks:
        for program in programs:
            tasks.create_task(program.run(walk.pace.think_s, stopping))
        try:
            yield
        finally:
            stopping.set()
