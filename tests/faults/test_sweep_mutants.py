"""Guards of the sweep that only a real server shows, each taken away once: the sweep then ends wrong."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest
from attrs import evolve, frozen

from lazymig.loop.clock import SystemClock
from lazymig.stores.server_time import ServerTime
from tests.sweeps import repository, stored, sweeper, thing, things

COUNT = 40
SERVER_NOW = ServerTime.now


@pytest.fixture(autouse=True)
def true_time(monkeypatch: pytest.MonkeyPatch, server_time: None) -> None:
    """The server's own clock counts here, whatever a client's says."""
    monkeypatch.setattr(ServerTime, "now", SERVER_NOW)


class _Fast(SystemClock):
    """A client's clock that is two hours fast."""

    def now(self) -> Any:
        return super().now() + timedelta(hours=2)


async def _dropped_half_way(database: Any) -> bool:
    """A sweep is stopped, V2 is dropped, a sweep runs: whether V2 then holds all."""
    await database["v1"].insert_many([thing(id) for id in range(COUNT)])
    pages = iter(range(5))
    first = sweeper(database, concurrency=1, on_progress=lambda _: next(pages, None) is None and first.stop())
    assert not (await first.run()).finished
    await database["v2"].drop()
    assert (await sweeper(database).run()).finished
    return len(await stored(database["v2"])) == COUNT


async def _purged_by_a_wrong_clock(database: Any) -> bool:
    """An entity is deleted, a client with a wrong clock sweeps: whether the tombstone still stands."""
    await database["v1"].insert_one(thing(1))
    await repository(database).delete(1)
    fast = _Fast()
    await sweeper(database, repo=repository(database, clock=fast), clock=fast, grace_s=3600).run()
    return set(await stored(database["v2"])) == {"1"}


async def _older_bodies(database: Any) -> bool:
    """The conversion revision was raised, a sweep runs: whether all bodies stand at the new one."""
    await database["v1"].insert_many([thing(id) for id in range(COUNT)])
    await sweeper(database).run()
    newer = repository(database, migration=evolve(things(), revision=2))
    assert (await sweeper(database, repo=newer).run()).finished
    return all(document["_lazymig"].get("conv") == 2 for document in (await stored(database["v2"])).values())


async def _no_identity(*_: Any) -> None:
    return None


async def _own_clock(time: ServerTime) -> Any:
    return time._clock.now()


async def _nothing_stale(*_: Any) -> list[Any]:
    return []


@frozen
class Mutant:
    """A guard of the sweep taken away, and the story whose end it spoils."""

    name: str
    place: str
    broken: Any
    story: Callable[[Any], Awaitable[bool]]


MUTANTS = (
    Mutant(
        "the checkpoint ignores the collection's identity",
        "lazymig.sweeping.two_collections.identify",
        _no_identity,
        _dropped_half_way,
    ),
    Mutant(
        "ages by the client's own clock",
        "lazymig.stores.server_time.ServerTime.now",
        _own_clock,
        _purged_by_a_wrong_clock,
    ),
    Mutant("a sweep leaves older bodies", "lazymig.stores.mongo_v2.V2Store.stale", _nothing_stale, _older_bodies),
)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
async def test_mutant_is_killed(server_database: Any, monkeypatch: pytest.MonkeyPatch, mutant: Mutant) -> None:
    """The story ends well as the sweep stands, and badly once the guard is taken away."""
    assert await mutant.story(server_database)
    for name in ("v1", "v2", "lazymig_control"):
        await server_database[name].drop()
    monkeypatch.setattr(mutant.place, mutant.broken)
    assert not await mutant.story(server_database)
