"""Calls for one key that take turns, and share a turn where they can.

A call whose key nobody works on starts at once, in its own task. Calls that come meanwhile wait, in the order of their
arrival. Once the turn is over, those at the front that are of one kind form the next one, which does the work of all.

- A turn that several calls share runs in a task and a context of its own, so that nobody's cancellation or deadline is
  another's. When the last of its callers is gone, the turn is cancelled, and that caller waits for its end: nothing
  goes on for callers that have left.
- A turn that decides for longer than `PATIENCE_S`, because its user's code waits for something, holds up nobody: the
  next turn starts beside it.
"""

from __future__ import annotations

import asyncio
import contextvars
import enum
from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Sequence
from contextlib import suppress
from functools import partial
from typing import Final, Generic, Protocol, TypeVar, cast

from lazymig.loop.own_errors import give_each_its_own
from lazymig.loop.stopping import end_code, stop

W = TypeVar("W")
R = TypeVar("R")

#: Seconds for which others wait while a turn waits for its user's code.
PATIENCE_S: Final = 0.01


class Again(enum.Enum):
    """Why a call has no outcome after its turn, and takes another one."""

    #: The turn did not come to it. It goes before those that came later.
    TOGETHER = enum.auto()
    #: The turn stored nothing, and that may be the fault of any one of its calls.
    BY_ITSELF = enum.auto()


class _Go(enum.Enum):
    """What a waiting call does now."""

    #: It is its turn.
    NEXT = enum.auto()
    #: It is too slow for the others, and works beside them.
    BESIDE = enum.auto()


class Turn(Protocol):
    """What does the work of one call or of several."""

    @property
    def decision(self) -> int | None:
        """A number for the decision that is being made, where others should not wait for it; else None."""

    def divide(self, error: BaseException | None) -> Sequence[object]:
        """Return each member's outcome: its result, its error, or an `Again`. `error` is what ended the turn."""


Run = Callable[[Turn], Awaitable[R]]


class Member(Generic[W]):
    """A call that waits for its turn, or takes part in one.

    Attributes:
        work: What it wants done.
        kind: Calls of one kind share turns; None for a call that shares none.
        context: A copy of its caller's context. The user's code runs in it.
        task: The user's code, where it runs in a task of its own.
        turn: The turn, once it has begun.
        future: What becomes of the call.
    """

    __slots__ = ("context", "future", "kind", "run", "shared", "task", "turn", "work")

    def __init__(self, work: W, kind: Hashable, run: Run[object], future: asyncio.Future[object]) -> None:
        self.work = work
        self.kind = kind
        self.run = run
        self.future = future
        self.context = contextvars.copy_context()
        self.task: asyncio.Task[object] | None = None
        self.turn: Turn | None = None
        self.shared: _Shared[W] | None = None

    @property
    def left(self) -> bool:
        """Whether nobody waits for what a turn does for it: its caller is gone, or does the work itself."""
        return self.future.done()

    def go_beside(self) -> None:
        """Take it out of its turn: its caller does the work itself, beside the others."""
        self.settle(_Go.BESIDE)

    def settle(self, outcome: object) -> None:
        """Give the caller its outcome, if it still waits."""
        if self.future.done():
            return
        if isinstance(outcome, BaseException):
            self.future.set_exception(outcome)
        else:
            self.future.set_result(outcome)


class _Shared(Generic[W]):
    """A turn that several share, while it runs."""

    __slots__ = ("members", "task")

    def __init__(self, members: Sequence[Member[W]], task: asyncio.Task[object]) -> None:
        self.members = members
        self.task = task


class _Queue(Generic[W]):
    """The turn for one key that others wait for, and those that wait."""

    __slots__ = ("timer", "turn", "waiting")

    def __init__(self, turn: Turn) -> None:
        self.turn: Turn | None = turn
        self.waiting: deque[Member[W]] = deque()
        self.timer: asyncio.TimerHandle | None = None


class Rounds(Generic[W, R]):
    """Lets calls for one key take turns.

    Args:
        make_single: Makes the turn of one call.
        join: Makes the turn of several calls.
    """

    def __init__(self, make_single: Callable[[W], Turn], join: Callable[[Sequence[Member[W]]], Turn]) -> None:
        self._make_single = make_single
        self._join = join
        self._queues: dict[Hashable, _Queue[W]] = {}
        self._running: set[asyncio.Task[object]] = set()

    async def call(self, key: Hashable, kind: Hashable, work: W, run: Run[R]) -> R:
        """Do the work by `run(turn)` in its turn, and return what came of it.

        Calls of one `kind` must have runs that do the same.
        """
        queue = self._queues.get(key)
        if queue is None:
            turn = self._make_single(work)
            queue = self._queues[key] = _Queue(turn)
            return await self._take(key, queue, turn, run)
        member = Member(work, kind, run, asyncio.get_running_loop().create_future())
        queue.waiting.append(member)
        self._watch(key, queue)
        try:
            outcome = await member.future
        except asyncio.CancelledError:
            await self._leave(key, queue, member)
            raise
        except GeneratorExit:  # the call is closed; where its event loop is too, nobody waits
            with suppress(RuntimeError):
                self._let_go(key, queue, member)
            raise
        if outcome is _Go.NEXT:
            assert member.turn is not None
            return await self._take(key, queue, member.turn, run)
        if outcome is _Go.BESIDE:
            await end_code(member.task)
            return await run(self._make_single(work))
        return cast(R, outcome)

    async def _take(self, key: Hashable, queue: _Queue[W], turn: Turn, run: Run[R]) -> R:
        try:
            return await run(turn)
        finally:
            self._end(key, queue, turn)

    async def _leave(self, key: Hashable, queue: _Queue[W], member: Member[W]) -> None:
        """Leave nothing behind of a call that is cancelled while it waits."""
        shared = member.shared
        self._pass_on(key, queue, member)
        if member.task is not None:
            await stop(member.task)
        if shared is not None and all(other.left for other in shared.members):
            await stop(shared.task)

    def _let_go(self, key: Hashable, queue: _Queue[W], member: Member[W]) -> None:
        """Leave nothing behind of a call that is closed while it waits: it can wait for nothing more."""
        shared = member.shared
        member.future.cancel()
        self._pass_on(key, queue, member)
        if member.task is not None:
            member.task.cancel()
        if shared is not None and all(other.left for other in shared.members):
            shared.task.cancel()

    def _pass_on(self, key: Hashable, queue: _Queue[W], member: Member[W]) -> None:
        # It may have been cancelled just after it had got its outcome.
        future = member.future
        given = None if future.cancelled() or future.exception() is not None else future.result()
        if given is _Go.NEXT and member.turn is not None:
            self._end(key, queue, member.turn)

    def _end(self, key: Hashable, queue: _Queue[W], turn: Turn) -> None:
        """Start the next turn, unless others have stopped waiting for this one already."""
        if queue.turn is turn:
            self._start_next(key, queue)

    def _start_next(self, key: Hashable, queue: _Queue[W]) -> None:
        members = _take_next(queue.waiting)
        if not members:
            queue.turn = None
            del self._queues[key]
            if queue.timer is not None:
                queue.timer.cancel()
            return
        first = members[0]
        if len(members) == 1:
            queue.turn = first.turn = self._make_single(first.work)
            first.settle(_Go.NEXT)
            return
        turn = queue.turn = self._join(members)
        loop = asyncio.get_running_loop()
        # In a new context: what one of the callers has there, such as its trace, is not the others'.
        task = loop.create_task(_do(first.run, turn), context=contextvars.Context())
        self._running.add(task)
        shared = _Shared(members, task)
        for member in members:
            member.shared = shared
        # A callback and no `finally` in the task: a task that is cancelled before its first step runs none of it.
        task.add_done_callback(partial(self._divide, key, queue, turn, members))

    def _divide(
        self, key: Hashable, queue: _Queue[W], turn: Turn, members: Sequence[Member[W]], task: asyncio.Task[object]
    ) -> None:
        """Give each member of a turn that is over its outcome, or its place at the front of those that wait."""
        self._running.discard(task)
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        again: list[Member[W]] = []
        settled: list[Member[W]] = []
        outcomes: list[object] = []
        for member, outcome in zip(members, turn.divide(error), strict=True):
            member.shared = None
            if outcome is Again.BY_ITSELF:
                member.kind = None
            if isinstance(outcome, Again):
                again.append(member)
            elif not member.left:
                settled.append(member)
                outcomes.append(outcome)
        for member, own in zip(settled, give_each_its_own(outcomes), strict=True):
            member.settle(own)
        queue.waiting.extendleft(reversed(again))
        if again:
            self._watch(key, queue)  # while nobody waited, nobody looked
        # Not at once: those that call again with their outcomes share the next turn.
        asyncio.get_running_loop().call_soon(self._end, key, queue, turn)

    def _watch(self, key: Hashable, queue: _Queue[W]) -> None:
        if queue.timer is None and queue.turn is not None:
            loop, turn = asyncio.get_running_loop(), queue.turn
            queue.timer = loop.call_later(PATIENCE_S, self._look, key, queue, turn, turn.decision)

    def _look(self, key: Hashable, queue: _Queue[W], turn: Turn, decision: int | None) -> None:
        """Start the next turn if this one has made the same decision all the time, and watch on."""
        queue.timer = None
        if all(member.left for member in queue.waiting):
            return
        if decision is not None and queue.turn is turn and turn.decision == decision:
            self._start_next(key, queue)
        if queue.waiting:
            self._watch(key, queue)


def _take_next(waiting: deque[Member[W]]) -> list[Member[W]]:
    """Take those at the front that share a turn."""
    taken: list[Member[W]] = []
    while waiting:
        member = waiting[0]
        if not member.left:
            if taken and (member.kind is None or member.kind != taken[0].kind):
                break
            taken.append(member)
        waiting.popleft()
    return taken


async def _do(run: Run[object], turn: Turn) -> object:
    return await run(turn)
