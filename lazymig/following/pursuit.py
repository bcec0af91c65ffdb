"""What one claim does: it reads batches from the stored position on, handles them, and stores how far it is."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable

from attrs import frozen
from pymongo.errors import PyMongoError

from lazymig.control.following import Claim, Following, Handled
from lazymig.errors import PassVanished
from lazymig.following.catching_up import CatchingUp
from lazymig.following.feed import Batch, Feed
from lazymig.following.handling import Handler
from lazymig.following.leasing import TakenOver
from lazymig.following.retrying import back_off
from lazymig.following.standing import Part
from lazymig.loop.clock import Clock
from lazymig.metrics import FOLLOWER_LAG
from lazymig.stores.events import PositionLost, Token, is_passing
from lazymig.telemetry import CAUGHT_UP, LAG, Tally

#: Seconds after which a position without changes is stored: the oplog moves on, also by other collections.
SAVE_EVERY_S = 5.0


@frozen(kw_only=True)
class Hooks:
    """What a pursuit asks of its owner."""

    stopping: Callable[[], bool]
    #: Waits until the server can take the next batch. False: the run is to stop.
    wait_for_turn: Callable[[], Awaitable[bool]]
    on_progress: Callable[[], None]
    #: Whether the first start verifies both sides as a whole.
    verify_first: bool
    clock: Clock
    tally: Tally
    #: The counts of the run.
    counts: Callable[[], Counter[str]]


class Pursuit:
    """Follows for as long as one claim is held."""

    def __init__(
        self,
        claim: Claim,
        following: Following,
        feed: Feed,
        handler: Handler,
        catching_up: CatchingUp,
        hooks: Hooks,
    ) -> None:
        self.lag_s = 0.0
        self._claim = claim
        self._following = following
        self._feed = feed
        self.handler = handler
        self._catching_up = catching_up
        self._hooks = hooks
        #: Up to here all is handled, except for what is open.
        self._position = claim.token
        #: Why the position is not known; None where it is.
        self._lost = "the follower ran for the first time" if claim.token is None else None
        self._verification: asyncio.Task[None] | None = None
        self._saved_at_s = float("-inf")
        self._failed = 0

    @property
    def catching_up(self) -> bool:
        """Whether a verification is due or under way."""
        return self._catching_up.due is not None

    async def run(self) -> None:
        """Follow until stopped. Raises `TakenOver`, and driver errors that do not pass."""
        try:
            while not self._hooks.stopping():
                try:
                    await self._stream()
                except PositionLost as lost:
                    self._lost = str(lost)
                except PyMongoError as error:
                    if not is_passing(error):
                        raise
                    await self._back_off()
            await self._finish()
        finally:
            await self.handler.end()
            await self._end_verification()

    async def _finish(self) -> None:
        """Store the position behind what is being healed. Where that fails, the next run begins further back."""
        try:
            await self.handler.drain()
            await self._save(urgent=True)
        except (PyMongoError, TakenOver) as error:
            if isinstance(error, PyMongoError) and not is_passing(error):
                raise

    async def _stream(self) -> None:
        position = await self._find_position()
        if self.catching_up and (self._verification is None or self._verification.done()):
            self._verification = asyncio.create_task(self._verify())
        # Events may come again. Those that came before would look like revisions that were set back.
        self.handler.memory.forget()
        async with self._feed.opened(position):
            while await self._hooks.wait_for_turn():
                await self._take_step(await self._feed.take())

    async def _find_position(self) -> Token:
        if self._position is not None and self._lost is None:
            return self._position
        reason = self._lost or ""
        token = await self._feed.take_position()
        # Stored before anything is read from it: a crash from now on comes back to it, and to the verification.
        if self._position is None and not self._hooks.verify_first:
            held = await self._following.begin_without(self._claim, token)
        else:
            held = await self._catching_up.begin(token, reason)
            self._hooks.counts()["catch_ups"] += 1
            self._hooks.tally.count(CAUGHT_UP)
        if not held:
            raise TakenOver
        self.handler.standing.clear()
        self._position, self._lost = token, None
        return token

    async def _take_step(self, batch: Batch) -> None:
        handler = self.handler
        if batch.events:
            await handler.handle(batch)
        elif batch.token is not None:
            handler.standing.add(Part(batch.token))
        if batch.token is not None:
            self._position = batch.token
        await handler.look_again()
        await handler.take_done()
        # The order matters: what a position covers is durably healed before it is stored.
        await self._save(urgent=bool(batch.events))
        self._failed = 0
        await self._measure_lag(batch)
        self._hooks.on_progress()
        if self._verification is not None and self._verification.done():
            self._verification.result()  # raises what ended it

    async def _measure_lag(self, batch: Batch) -> None:
        oldest = self.handler.find_oldest() or (batch.events[-1].at if batch.events else None)
        self.lag_s = 0.0
        if oldest is not None:
            self.lag_s = max((await self._feed.now() - oldest).total_seconds(), 0.0)
            self._hooks.tally.measure(LAG, self.lag_s)
        self._hooks.tally.show(FOLLOWER_LAG, self.lag_s)

    async def _save(self, *, urgent: bool) -> None:
        done = self.handler.standing.find_done()
        now_s = self._hooks.clock.monotonic()
        if done is None or not (urgent or done[1] or now_s - self._saved_at_s >= SAVE_EVERY_S):
            return
        token, rogue, count = done
        staleness = self.handler.staleness
        handled = Handled(
            rogue=rogue, lag_s=self.lag_s, staleness_s=(staleness.quantile(0.5), staleness.quantile(0.99))
        )
        if not await self._following.save(self._claim, token, handled):
            raise TakenOver
        self.handler.standing.drop(count)
        self._saved_at_s = now_s

    async def _verify(self) -> None:
        while not self._hooks.stopping():
            try:
                await self._catching_up.run()
            except PassVanished:
                await self._back_off()  # a collection was dropped meanwhile: the verification begins again
            except PyMongoError as error:
                if not is_passing(error):
                    raise
                await self._back_off()
            else:
                return

    async def _end_verification(self) -> None:
        self._catching_up.stop()
        if self._verification is not None:
            await asyncio.gather(self._verification, return_exceptions=True)

    async def _back_off(self) -> None:
        await back_off(self._hooks.clock, self._failed)
        self._failed += 1
