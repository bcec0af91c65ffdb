"""Repositories in memory whose statements let others run, and updates that show in which order they were made."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from attrs import evolve

from lazymig import Phase, Repository
from lazymig.loop.clock import SYSTEM_CLOCK
from lazymig.loop.rounds import Again, Member
from lazymig.protocol.edits import ClientEdit, UpdateV1, UpdateV2
from lazymig.protocol.joining import Joined
from lazymig.repository import calls_of
from lazymig.testing import memory_repository
from tests.people import people


class Yielding:
    """A store whose statements take a turn of the event loop, and are counted."""

    def __init__(self, store: Any, statements: list[str]) -> None:
        self._store = store
        self._statements = statements

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._store, name)
        if not inspect.iscoroutinefunction(attribute):
            return attribute

        async def statement(*arguments: Any, **options: Any) -> Any:
            self._statements.append(name)
            await asyncio.sleep(0)
            return await attribute(*arguments, **options)

        return statement


def open_yielding(
    phase: Phase = Phase.COEXIST, *, in_place: bool = False, migration: Any = None, **options: Any
) -> tuple[Repository[Any, Any], list[str]]:
    """A repository in memory, and the names of its statements so far."""
    repository: Repository[Any, Any] = memory_repository(migration or people(), phase, in_place=in_place, **options)
    return repository, let_others_run(repository)


def let_others_run(repository: Any) -> list[str]:
    """Make each statement of a repository take a turn of the event loop; return the names of those that it makes."""
    statements: list[str] = []
    calls = calls_of(repository)
    if calls.place is not None:
        place = evolve(calls.place, store=Yielding(calls.place.store, statements))
        builder = calls.builder.with_place(place)
        repository._calls = evolve(calls, ground=place, stages=calls.stages.rebuilt(builder.build), builder=builder)
    else:
        pair = calls.pair
        stores = {name: Yielding(getattr(pair, name), statements) for name in ("v1", "ledger", "bodies", "alone")}
        repository._calls = calls.with_pair(evolve(pair, **stores))
    return statements


def tagging(name: str) -> Callable[[Any], Any]:
    """A change that puts a name behind the others."""
    return lambda person: evolve(person, tags=[*person.tags, name])


def check_order(final: Sequence[str], seen: dict[str, Sequence[str]], perhaps: Sequence[str] = ()) -> None:
    """Each that was acknowledged is there once and got what was there with it; others only if they may be."""
    assert len(set(final)) == len(final)
    assert set(seen) <= set(final) <= {*seen, *perhaps}
    for name, tags in seen.items():
        assert list(tags) == list(final[: final.index(name) + 1])


async def write_joined(repository: Any, id: Any, changes: Sequence[Any], *, v1: bool = False) -> list[object]:
    """Make updates as one by the repository's own route; return what became of each."""
    calls = calls_of(repository)
    kind = UpdateV1 if v1 else UpdateV2
    edits: list[ClientEdit] = [kind(calls.conversions, change) for change in changes]
    loop = asyncio.get_running_loop()
    members: list[Any] = [Member(edit, kind, calls.route.write, loop.create_future()) for edit in edits]
    joined = Joined(members, SYSTEM_CLOCK)
    outcomes = list(joined.divide(await error_of(calls.route.write(id, joined))))
    for place, outcome in enumerate(outcomes):
        if outcome is Again.BY_ITSELF:
            outcomes[place] = await result_or_error(calls.route.write(id, edits[place]))
    return outcomes


async def result_or_error(call: Awaitable[Any]) -> Any:
    """What a call returns or raises."""
    return (await asyncio.gather(call, return_exceptions=True))[0]


async def error_of(call: Awaitable[Any]) -> BaseException | None:
    """What a call raises."""
    result = await result_or_error(call)
    return result if isinstance(result, BaseException) else None


async def turns(count: int = 20) -> None:
    """Let the loop come round."""
    for _ in range(count):
        await asyncio.sleep(0)
