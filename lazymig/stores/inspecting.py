"""Statements of the doctor, which ask a server about itself and about one collection. They change nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Protocol, TypeAlias

import pymongo
from attrs import frozen
from bson.codec_options import DEFAULT_CODEC_OPTIONS
from pymongo import ReadPreference
from pymongo.errors import PyMongoError

from lazymig.stores.drivers import Driver, await_if_needed, collection_of, driver_of, tune
from lazymig.stores.given import Store
from lazymig.stores.records import Document

if TYPE_CHECKING:
    from pymongo.read_preferences import Primary, Secondary

    _ServerMode: TypeAlias = Primary | Secondary

#: Milliseconds that a statement may take, and seconds that the wait for a secondary may.
_LOOK_MS, _SECONDARY_S = 5_000, 2.0
#: Tries per secondary: a driver chooses one at random.
_TRIES_EACH = 4


class Now(Protocol):
    """A clock, of which the time of day is needed."""

    def now(self) -> datetime:
        """Return naive UTC."""


@frozen
class Concerns:
    """How the client that passed a collection writes and reads, where a statement says nothing else."""

    write: Mapping[str, object]
    read: str | None
    preference: str
    retries_writes: bool


@frozen
class ServerClock:
    """How far a server's clock is ahead of this machine's, and how exactly that is known, in seconds."""

    server: str
    ahead_s: float
    within_s: float


class Inspector:
    """Asks about one collection and the server that holds it. Driver errors pass through.

    In memory there is nobody to ask; see `in_memory`.
    """

    def __init__(self, store: Store) -> None:
        self._given = collection_of(store)
        self._tuned = tune(self._given)
        self.in_memory = driver_of(self._given) is Driver.MEMORY

    @property
    def concerns(self) -> Concerns:
        """The collection's own settings, which lazymig overrides in its statements. Sends nothing."""
        given = self._given
        options = given.database.client.options
        return Concerns(
            dict(given.write_concern.document), given.read_concern.level, given.read_preference.name,
            bool(options.retry_writes),
        )  # fmt: skip

    async def find_version(self) -> tuple[int, ...]:
        """Return the server's version, such as (6, 0, 5)."""
        found = await self._command("buildInfo")
        return tuple(int(part) for part in found["versionArray"][:3])

    async def find_default_write(self) -> Document:
        """Return the write concern of writes that name none, as the server sets it; empty where it is w: 1."""
        found = await self._command("getDefaultRWConcern")
        default: Document = found.get("defaultWriteConcern", {})
        return default

    async def count_uses(self) -> dict[str, tuple[int, datetime]]:
        """Return how often each index was used, by its name, and since when this server counts."""
        stages: Sequence[Mapping[str, object]] = [{"$indexStats": {}}]
        cursor = await await_if_needed(self._tuned.aggregate(stages, maxTimeMS=_LOOK_MS))
        return {
            str(row["name"]): (int(row["accesses"]["ops"]), row["accesses"]["since"])
            for row in await cursor.to_list(None)
        }

    async def read_clock(self, clock: Now) -> ServerClock:
        """Compare the primary's clock with this machine's."""
        return await self._read_clock(clock)

    async def read_other_clocks(self, clock: Now, count: int) -> list[ServerClock]:
        """Compare the clocks of secondaries with this machine's, as many as the driver reaches soon."""
        found: dict[str, ServerClock] = {}
        for _ in range(count * _TRIES_EACH):
            if len(found) == count:
                break
            try:
                with pymongo.timeout(_SECONDARY_S):
                    seen = await self._read_clock(clock, ReadPreference.SECONDARY)
            except PyMongoError:
                break
            found.setdefault(seen.server, seen)
        return list(found.values())

    async def _read_clock(self, clock: Now, preference: _ServerMode = ReadPreference.PRIMARY) -> ServerClock:
        before = clock.now()
        hello = await self._command("hello", preference)
        after = clock.now()
        half = (after - before) / 2
        ahead: timedelta = hello["localTime"].replace(tzinfo=None) - (before + half)
        return ServerClock(str(hello.get("me", "the server")), ahead.total_seconds(), half.total_seconds())

    async def _command(self, name: str, preference: _ServerMode = ReadPreference.PRIMARY) -> Document:
        admin = self._given.database.client["admin"]
        found = await admin.command(name, 1, read_preference=preference, codec_options=DEFAULT_CODEC_OPTIONS)
        return found  # noqa: RET504 - directly, the type of the result would decide that of the codec
