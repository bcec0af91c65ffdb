"""The work of a tool under a phase that may change: it goes on from where it stands, or ends where it may not.

A tool is a process of the fleet with a role of its own. What it does between two changes counts as one write in
flight. At each change it finishes its batches and saves its checkpoint, as if it was stopped, and then goes on. While
writes are about to be held it waits, so that nobody's write waits for a batch.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Generic, TypeVar

from lazymig.control import Control, parts_of
from lazymig.control.samples import FINE, Level
from lazymig.measuring.sampler import Sampler
from lazymig.membership.in_flight import Generation
from lazymig.membership.member import ATTENTIVE_S, Member
from lazymig.membership.terms import Terms
from lazymig.routes.calls import Calls
from lazymig.routes.stages import Stage

T = TypeVar("T")
V1 = TypeVar("V1")
V2 = TypeVar("V2")


class Shift(Generic[V1, V2]):
    """What a tool needs of the phase. With a fixed phase it asks once, and nothing interrupts the work.

    Args:
        calls: The calls of the tool's repository.
        role: What the fleet shows the tool as.
        check: Raises `PhaseError` in a stage that does not allow the work.
        is_stopped: Whether the user wants the run to end.
    """

    def __init__(
        self,
        calls: Calls[V1, V2],
        role: str,
        check: Callable[[Stage[V1, V2]], None],
        is_stopped: Callable[[], bool],
    ) -> None:
        self._calls = calls
        self._role = role
        self._check = check
        self._is_stopped = is_stopped
        self._member: Member | None = None
        self._stage: Stage[V1, V2] | None = None
        self._generation: Generation | None = None
        #: Whether the work was asked to stop because of a change.
        self._asked = False
        if calls.control is None:
            check(calls.stages.now)

    @property
    def stage(self) -> Stage[V1, V2]:
        """The stage in which the work goes on, or went on last."""
        return self._calls.stages.now if self._stage is None else self._stage

    @property
    def is_over(self) -> bool:
        """Whether the work is to finish its batches now: the user wants it, or something has changed."""
        if self._is_stopped():
            return True
        member, generation = self._member, self._generation
        if member is None or generation is None or (member.calls.now is generation and member.may_work):
            return False
        self._asked = True
        return True

    def make_sampler(self, control: Control, finest: Level = FINE) -> Sampler[V1, V2]:
        """Return what takes samples of the migration into a control collection while the work goes on."""
        calls = self._calls
        name, ground = calls.migration.name, calls.ground
        return Sampler(parts_of(control), name, ground, self._role, lambda: self.stage.phase, finest)

    @asynccontextmanager
    async def begun(self, *, joins: bool = True) -> AsyncIterator[None]:
        """Be a process of the fleet within the with statement. A run that writes nothing need not join: it only looks.

        Raises `PhaseError` where the phase does not allow the work.
        """
        if self._calls.control is None:
            fixed = self._calls.stages.now
            await self._calls.builder.check_recorded(fixed.phase, fixed.route)
            yield
            return
        self._stage = await self._calls.look()
        self._check(self._stage)
        if not joins:
            yield
            return
        terms = Terms(
            role=self._role, revision=self._calls.migration.revision, tally=self._calls.ground.tally,
            check=lambda standing: self._check(self._calls.builder.build(standing)),
        )  # fmt: skip
        self._member = member = Member(parts_of(self._calls.control), self._calls.migration.name, terms)
        try:
            await member.join()
            yield
        finally:
            self._member = None
            await member.leave()

    async def through(self, step: Callable[[], Awaitable[T]]) -> T:
        """Do a step and return its result. Where a change interrupts it, do it again: it goes on from where it stands.

        Raises `PhaseError` where the phase does not allow the work any more; what was done is kept.
        """
        while True:
            self._asked = False
            async with self._under_way():
                result = await step()
            if not self._asked or self._is_stopped():
                return result

    @asynccontextmanager
    async def _under_way(self) -> AsyncIterator[None]:
        member = self._member
        generation = None if member is None else await self._enter(member)
        if member is None or generation is None:
            yield
            return
        self._generation = generation
        try:
            self._stage = self._calls.builder.build(generation.standing)
            self._check(self._stage)
            yield
        finally:
            self._generation = None
            member.end(generation, writes=True)

    async def _enter(self, member: Member) -> Generation | None:
        """Let the work go on once nothing is held. None: the user wants it to end before."""
        while (await member.join()).hold is not None:
            if self._is_stopped():
                return None
            await self._calls.ground.clock.sleep(ATTENTIVE_S)
        return await member.enter(writes=True)
