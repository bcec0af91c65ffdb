"""One process in the fleet of a migration: it follows the recorded phase, and lets calls in while it may.

A task in the background does all that is sent to the control collection. Calls only look at what it found, so that a
call costs no statement, and a control collection that is away costs nothing until the lease is over.
"""

from __future__ import annotations

import os
import weakref
from typing import NoReturn

from attrs import evolve
from pymongo.errors import PyMongoError

from lazymig.control import MemberRecord, Parts, Standing
from lazymig.errors import PhaseError
from lazymig.loop.deadline import Deadline
from lazymig.membership.in_flight import CallsInFlight, Generation, TransactionLost
from lazymig.membership.keeping import Keeper, remove
from lazymig.membership.registration import Registration
from lazymig.membership.terms import Terms, name_process
from lazymig.metrics import EPOCH, HEARTBEAT, LEASE_LEFT, PHASE
from lazymig.phases import Phase
from lazymig.stores.given import Session
from lazymig.stores.sessions import transaction_of
from lazymig.telemetry import EPOCHS, LEASES_LOST, REFUSED_CALLS

#: Seconds between two looks at the phase: beside a change stream, without one, while the process waits for what it
#: cannot see end (transactions, bodies behind callers), and while writes are about to be held.
STREAMED_S, POLL_S, WAITING_S, ATTENTIVE_S = 2.0, 0.5, 0.1, 0.02
#: Seconds that a write waits while writes are held, at most. Then it goes on: the database refuses what comes too late.
HOLD_MAX_S = 10.0
#: The part of the lease that is left when the next heartbeat is sent, and the part that one attempt may take.
_RENEW_AT, _ATTEMPT = 0.8, 0.3
#: Seconds that a process that leaves waits for its calls.
_LEAVE_S = 10.0


class Member:
    """Registers this process, renews its lease, and lets calls in.

    It belongs to the event loop that runs when it joins. In another one, or in a forked process, it joins again.
    """

    def __init__(self, parts: Parts, migration: str, terms: Terms) -> None:
        self._phases = parts.phases(migration)
        self._clock = clock = parts.clock
        self._tally, self._beside = terms.tally, terms.beside
        self.calls = CallsInFlight(terms.find_unfinished)
        record = terms.make_record(clock.now())
        self._registration = Registration(
            self._phases, parts.members(migration), record, self.calls, clock, terms.check
        )
        self._lease = self._registration.lease
        self._keeper: Keeper | None = None
        #: Why the last attempt to reach the control collection failed; None where it did not.
        self._failure: Exception | None = None
        self._held_since_s = 0.0
        _MEMBERS.add(self)

    @property
    def standing(self) -> Standing:
        """Where the migration stands. Raises `PhaseError` before the process has joined."""
        standing = self._registration.standing
        if standing is None:
            raise PhaseError("the phase is not known before the first call: await repository.check() first")
        return standing

    @property
    def known(self) -> Standing | None:
        """Where the migration stands, as far as it is known."""
        return self._registration.standing

    @property
    def may_work(self) -> bool:
        """Whether the lease is held."""
        return self._lease.held

    @property
    def record(self) -> MemberRecord:
        """How this process is registered."""
        return self._registration.record

    async def join(self) -> Standing:
        """Return where the migration stands, once this process is registered and its lease is held.

        Raises `PhaseError` where that cannot be.
        """
        if not self._lease.held:
            await self._arrive()
        return self.standing

    async def leave(self) -> None:
        """Take the process out of the fleet, so that nobody waits for its lease.

        Calls in flight are waited for. Where they do not end soon, the lease runs out by itself.
        """
        keeper, self._keeper = self._keeper, None
        if keeper is None or not keeper.is_mine:
            return
        until_s = self._clock.monotonic() + _LEAVE_S
        while not (idle := self.calls.idle) and self._clock.monotonic() < until_s:
            await self._clock.sleep(ATTENTIVE_S)
        self._lease.end()
        await keeper.stop()
        if idle:
            await remove(self._registration)
        else:
            self._registration.forget()

    # Calls.

    def try_to_enter(self, *, writes: bool) -> Generation | None:
        """Let a call in that need not wait for anything. None: call `enter`."""
        now = self.calls.now
        if now is None or (writes and now.holds) or not self._lease.held:
            return None
        now.calls += 1
        now.writes += writes
        return now

    async def enter(self, *, writes: bool, session: Session | None = None) -> Generation:
        """Let a call in. Waits while writes are held, a bounded time.

        All calls of one transaction belong to the generation of its first: what it wrote takes effect when it commits.
        Raises `PhaseError` where the lease is over and cannot be renewed.
        """
        transaction = None if session is None else transaction_of(session)
        if session is None or transaction is None:
            return await self._enter(writes=writes)
        pinned = self.calls.find_pinned(session, transaction)
        if pinned is not None:
            return await self._enter_again(pinned, writes=writes)
        # As a write, also where it reads: a transaction that has begun does not wait in the middle.
        generation = await self._enter(writes=True)
        generation.pin(session, transaction)
        if not writes:
            generation.writes -= 1
        return generation

    async def find_followed(self, session: Session | None = None) -> Standing:
        """Return the record by which a call would run now; in a transaction, that of its first call.

        Raises `PhaseError` as `enter` does.
        """
        standing, begun = await self.join(), self.calls.find_begun(session)
        if begun is not None and begun.lost:
            raise TransactionLost
        return standing if begun is None else begun.standing

    async def is_recorded(self, known: Standing) -> bool:
        """Whether the record is still as this process knows it. Where not, wait until this process looks again."""
        found, keeper = await self._phases.find(), self._keeper
        followed = found is not None and found.epoch == known.epoch
        if keeper is not None and not followed:
            keeper.waker.wake()
            await keeper.wait_for_attempt(self._lease.lease_s)
        return followed

    async def _enter(self, *, writes: bool) -> Generation:
        while True:
            if not self._lease.held:
                await self._arrive()
            if (generation := self.try_to_enter(writes=writes)) is not None:
                return generation
            if self._lease.held and not await self._wait_for_release():
                return self._overdue()

    async def _enter_again(self, pinned: Generation, *, writes: bool) -> Generation:
        if not self._lease.held:
            await self._arrive()
        if pinned.lost:
            raise TransactionLost
        pinned.calls += 1
        pinned.writes += writes
        return pinned

    def _overdue(self) -> Generation:
        """Let a write in although writes are held, because it has waited for long enough."""
        generation = self.calls.now
        assert generation is not None  # the lease is held
        generation.calls += 1
        generation.writes += 1
        return generation

    def end(self, generation: Generation, *, writes: bool) -> None:
        """Count the end of a call."""
        generation.calls -= 1
        generation.writes -= writes
        if generation is self.calls.now and not generation.holds:
            return
        if self._keeper is not None and (writes or not generation.calls):
            self._keeper.waker.wake()  # it may be able to acknowledge now

    async def _wait_for_release(self) -> bool:
        """Wait while writes are held. False: this took too long."""
        keeper = self._keeper
        left_s = self._held_since_s + HOLD_MAX_S - self._clock.monotonic()
        if left_s <= 0 or keeper is None:
            return False
        await keeper.wait_for_attempt(left_s)
        return True

    async def _arrive(self) -> None:
        keeper = self._keeper
        if keeper is None or not keeper.is_alive:
            keeper = self._make_keeper(keeper)
        if not isinstance(self._failure, PyMongoError):
            keeper.waker.wake()
            await keeper.wait_for_attempt(self._registration.record.lease_s)
        if not self._lease.held:
            self._refuse()

    def _make_keeper(self, former: Keeper | None) -> Keeper:
        if former is not None and former.is_elsewhere:
            raise PhaseError("this repository is used in another event loop that still runs: open one in each")
        if former is not None and not former.is_mine:
            self._registration.forget()  # with the calls of an event loop that is gone
        self._failure = None
        self._keeper = Keeper(self, self._registration, self._phases.changes(), self._clock, self._beside)
        return self._keeper

    def _refuse(self) -> NoReturn:
        self._tally.count(REFUSED_CALLS)
        if isinstance(self._failure, PhaseError):
            raise PhaseError(*self._failure.args)
        raise PhaseError(
            "this process cannot renew its lease in the control collection, so it does not know the phase; it goes on "
            f"by itself once that answers ({type(self._failure).__name__})"
        ) from self._failure

    # What the keeper does.

    async def attempt(self) -> None:
        """Do what is due in the control collection, within a bounded time. Raises nothing: the lease runs on."""
        registration, lost = self._registration, self._registration.lost
        try:
            async with Deadline(registration.record.lease_s * _ATTEMPT):
                await self.exchange()
            self._failure = None
        except Exception as error:
            self._failure = error  # calls show it once the lease is over
        self._tally.show(LEASE_LEFT, self._lease.left_s)
        self._tally.count(LEASES_LOST, registration.lost - lost)

    async def exchange(self) -> None:
        """Look at the phase, send a heartbeat where one is due, and acknowledge where that is possible."""
        registration = self._registration
        beats = self._lease.left_s < self._lease.lease_s * _RENEW_AT
        while True:
            before = registration.standing
            if beats:
                with self._tally.span(HEARTBEAT):
                    await registration.beat()
            else:
                await registration.look()
            self._note(before)
            if registration.settled == registration.acknowledged:
                return
            beats = True

    def _note(self, before: Standing | None) -> None:
        standing = self._registration.standing
        if standing is not before and standing is not None:
            self._tally.count(EPOCHS)
            self._tally.show(EPOCH, standing.epoch)
            self._tally.show(PHASE, list(Phase).index(standing.phase))
            if standing.hold:
                self._held_since_s = self._clock.monotonic()

    def pause_s(self, *, streamed: bool) -> float:
        """Return the seconds until the next attempt."""
        registration = self._registration
        standing = registration.standing
        # Not for ever: an operator that died has left it, and a large fleet would load the control collection.
        if standing is not None and standing.hold and self._clock.monotonic() < self._held_since_s + HOLD_MAX_S:
            return ATTENTIVE_S
        if standing is not None and registration.acknowledged != standing.epoch:
            return WAITING_S
        return STREAMED_S if streamed and self._failure is None else POLL_S

    def forget(self) -> None:
        """Forget the fleet: this process was forked from the one that joined."""
        self._keeper = None
        self._registration.forget()
        self._registration.record = evolve(self._registration.record, name=name_process())


#: All members of this process, which a forked process must not continue.
_MEMBERS: weakref.WeakSet[Member] = weakref.WeakSet()


def _forget_all() -> None:
    for member in list(_MEMBERS):
        member.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all)
