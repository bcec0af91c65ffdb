"""What tests of fleets share: a clock that is moved by hand, and moves of the phase as an operator makes them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any

from attrs import evolve

from lazymig import Control, Phase
from lazymig.control import MemberRecord, Standing, parts_of
from lazymig.membership.member import Member
from lazymig.repository import Repository, calls_of

#: Turns of the event loop after which nothing more happens by itself, in memory.
_TURNS = 60


class ManualClock:
    """A clock that stands until `move`; what sleeps waits for that."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self._sleeping: list[tuple[float, asyncio.Future[None]]] = []

    def now(self) -> datetime:
        return datetime(2024, 5, 1) + timedelta(seconds=self.now_s)

    def monotonic(self) -> float:
        return self.now_s

    def random(self) -> float:
        return 0.5

    async def sleep(self, delay_s: float) -> None:
        over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._sleeping.append((self.now_s + delay_s, over))
        await over

    async def move(self, seconds: float) -> None:
        """Let this much time pass, and what is due happen in it."""
        end_s = self.now_s + seconds
        await settle()
        while due := [one for one in self._sleeping if one[0] <= end_s and not one[1].done()]:
            self.now_s, over = min(due, key=lambda one: one[0])
            over.set_result(None)
            self._sleeping = [one for one in self._sleeping if not one[1].done()]
            await settle()
        self.now_s = end_s
        await settle()


async def settle() -> None:
    """Let everything happen that needs no time."""
    for _ in range(_TURNS):
        await asyncio.sleep(0)


async def until(holds: Callable[[], Awaitable[object]]) -> None:
    """Wait until something holds, 60 seconds at most."""
    async with asyncio.timeout(60):
        found = await holds()
        while not found:
            await asyncio.sleep(0)
            found = await holds()


class Operator:
    """Moves the phase of one migration, without any gate."""

    def __init__(self, control: Control, migration: str) -> None:
        self._phases, self._members = parts_of(control).phases(migration), parts_of(control).members(migration)

    async def begin(self, phase: Phase) -> Standing:
        """Record the first phase."""
        standing = await self._phases.begin(phase, by="tests", why="begin")
        assert standing is not None
        return standing

    async def standing(self) -> Standing:
        """What is recorded."""
        standing = await self._phases.find()
        assert standing is not None
        return standing

    async def move(self, phase: Phase) -> Standing:
        """Record another phase."""
        moved = await self._phases.move(await self.standing(), phase, by="tests", why="move")
        assert moved is not None
        return moved

    async def change(self, **changes: Any) -> Standing:
        """Record a hold or settings."""
        changed = await self._phases.change(await self.standing(), **changes)
        assert changed is not None
        return changed

    async def members(self) -> list[MemberRecord]:
        """The processes of the fleet."""
        return await self._members.find_all()

    async def is_acknowledged(self) -> bool:
        """Whether all processes work by what is recorded."""
        epoch = (await self.standing()).epoch
        return all(one.epoch == epoch for one in await self.members())

    async def acknowledged(self) -> None:
        """Wait until all do."""
        await until(self.is_acknowledged)


def member_of(repository: Repository[Any, Any]) -> Member:
    """The member of a repository that follows a control collection."""
    stages: Any = calls_of(repository).stages
    member: Member = stages.member
    return member


def shorten_lease(repository: Repository[Any, Any], lease_s: float) -> None:
    """Give a process that has not joined yet a short lease."""
    registration = member_of(repository)._registration
    registration.record = evolve(registration.record, lease_s=lease_s)
    registration.lease.lease_s = lease_s
