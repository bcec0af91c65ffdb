"""Sounding the server: what a read takes now, beside the statements of a pass and without them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from typing import TypeVar

from pymongo.errors import PyMongoError

from lazymig.loop.clock import SYSTEM_CLOCK, Clock
from lazymig.loop.run_queue import give_way, read_waited_s
from lazymig.passes.balance import Balance
from lazymig.passes.company import Company
from lazymig.passes.gate import Gate
from lazymig.passes.shedding import is_overload
from lazymig.stores.soundings import Soundings

T = TypeVar("T")

#: Seconds between two reads: beside statements of the pass, and without them. A read that took long is followed by a
#: pause of this many times as long, so that asking costs little.
_BUSY_EVERY_S, _QUIET_EVERY_S, _REST = 0.02, 0.2, 20
#: The same beside statements of the pass where nobody else reads the collections.
_ALONE_EVERY_S = 0.1
#: Conversions between two turns of the event loop, and where the pass goes in small steps: no longer than a client
#: notices on a machine that both share.
TURN, _TURN_IN_STEPS = 20, 2
#: A read that takes longer counts as one that took so long.
_PATIENCE_S = 1.0
#: How often it looks whether nothing is in flight any more, and how long it waits for that.
_LOOK_EVERY_S, _WAIT_MAX_S = 0.002, 2.0


class Sounding:
    """Measures reads while nothing is converted, and keeps the balance of the pass.

    A conversion occupies the event loop, and a read that is answered meanwhile would seem to take long. So the tasks
    that convert take turns here, and each lets a read go first now and then.
    """

    def __init__(
        self,
        clock: Clock,
        soundings: Soundings | None = None,
        bound: float | None = None,
        on_overload: Callable[[], None] = lambda: None,
        read_waited_s: Callable[[], float] = read_waited_s,
        give_way: Callable[[], None] = give_way,
    ) -> None:
        self._clock = clock
        self._soundings = soundings
        on = soundings is not None and soundings.possible and bound is not None
        #: None where there is nothing to keep in balance.
        self.balance = Balance(bound) if on and bound is not None else None
        #: Held by the task that converts. One batch converts while others are sent: if two alternated, both would be
        #: ready at the same time, and the server and this process would wait for each other.
        self.converting = asyncio.Lock()
        #: What counts the statements of the pass that are on the way.
        self.gate: Gate | None = None
        #: What knows whether others read the same collections; None where nothing does.
        self.company: Company | None = None
        self.asked = 0
        self._on_overload = on_overload
        self._give_way = give_way
        # On a made-up clock no time passes while a thread waits for a processor.
        self._read_waited_s = read_waited_s if clock is SYSTEM_CLOCK else lambda: 0.0
        #: When the next read is due: beside statements of the pass, and without them.
        self._due_s = {True: 0.0, False: 0.0}
        self._asked = False

    @property
    def in_steps(self) -> bool:
        """Whether the pass goes in small steps, because others read the same collections."""
        return self.balance is not None and self.balance.company is True

    @property
    def turn(self) -> int:
        """How many documents are converted between two turns."""
        return _TURN_IN_STEPS if self.in_steps else TURN

    async def in_turns(self, documents: Sequence[T]) -> AsyncIterator[Sequence[T]]:
        """Yield some documents after the others to a task that holds `converting`, which takes a turn after each."""
        start = 0
        while start < len(documents):
            end = start + self.turn
            yield documents[start:end]
            start = end
            await self.take_turn()

    async def look_around(self) -> None:
        """Find out whether others read the same collections, if that is due."""
        if self.balance is not None and self.company is not None:
            await self.company.look()
            self.balance.note_company(self.company.present)

    async def take_turn(self) -> None:
        """Let other tasks go on, by a task that holds `converting`; and measure a read if that is due."""
        if self.in_steps:
            self._give_way()
        await self._clock.sleep(0)
        if self.balance is not None and self._clock.monotonic() >= self._due_s[self._is_busy]:
            await self._measure(self.balance)

    async def beside(self, statement: Coroutine[object, object, T]) -> T:
        """Return the answer of a long statement beside which this process converts nothing; measure reads meanwhile."""
        if self.balance is None:
            return await statement
        answer = asyncio.ensure_future(statement)
        try:
            while not answer.done():
                pause = asyncio.ensure_future(self._clock.sleep(_BUSY_EVERY_S))
                try:
                    await asyncio.wait({answer, pause}, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    pause.cancel()
                # A task that converts measures by itself.
                if not answer.done() and not self.converting.locked():
                    async with self.converting:
                        await self.take_turn()
            return answer.result()
        finally:
            answer.cancel()
            await asyncio.gather(answer, return_exceptions=True)

    async def wait_for_quiet(self) -> None:
        """Measure reads while nothing is in flight, if too few of them are known, before the next page is read."""
        balance, until_s = self.balance, self._clock.monotonic() + _WAIT_MAX_S
        while balance is not None and balance.needs_quiet(now_s := self._clock.monotonic()) and now_s < until_s:
            if self._is_busy or self.converting.locked():
                await self._clock.sleep(_LOOK_EVERY_S)
            elif not await self._measure(balance):
                return

    @property
    def _is_busy(self) -> bool:
        return self.gate is not None and self.gate.in_flight > 0

    async def _measure(self, balance: Balance) -> bool:
        """Measure one read. False: the server does not answer it."""
        assert self._soundings is not None  # there is a balance
        busy, began_s, waited_s = self._is_busy, self._clock.monotonic(), self._read_waited_s()
        answered = True
        self.asked += 1
        try:
            async with asyncio.timeout(_PATIENCE_S):
                await self._soundings.ask()
        except TimeoutError:
            pass
        except PyMongoError as error:
            if is_overload(error):
                self._on_overload()
            answered = False
        now_s = self._clock.monotonic()
        # A command goes last on its machine. For how long it had no processor says nothing about the server.
        took_s = max(now_s - began_s - (self._read_waited_s() - waited_s), 0.0)
        every_s = _ALONE_EVERY_S if balance.company is False else _BUSY_EVERY_S
        rested_s = now_s + max(every_s, _REST * (now_s - began_s))
        self._due_s = {True: rested_s, False: self._due_s[False] if busy else max(rested_s, now_s + _QUIET_EVERY_S)}
        # The first one may have opened a connection.
        if answered and self._asked:
            (balance.note_busy if busy else balance.note_quiet)(took_s, now_s)
        self._asked = self._asked or answered
        return answered
