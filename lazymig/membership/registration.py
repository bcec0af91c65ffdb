"""The protocol of one process with its fleet: register, look, send heartbeats, acknowledge.

The order of steps is what the fleet rests on.

- A process registers before it reads the phase by which it works. A later move of the phase waits for it.
- Its lease is counted from before a heartbeat was sent, and others see the heartbeat after that. So the process stops
  before anyone may judge it dead.
- Each heartbeat has a number of its own, whether or not its answer arrived. Otherwise one that was sent twice would
  look like none, and the process could be judged dead while it holds its lease.
- It acknowledges an epoch only once nothing is in flight that began under an earlier one.
- Once it was removed it registers again, and has acknowledged nothing. What began before counts as earlier.
"""

from __future__ import annotations

from collections.abc import Callable
from uuid import uuid4

from attrs import evolve

from lazymig.control import MemberRecord, Members, Phases, Standing
from lazymig.errors import PhaseError
from lazymig.loop.clock import Clock
from lazymig.membership.in_flight import CallsInFlight
from lazymig.membership.lease import Lease


def explain_unrecorded(migration: str) -> str:
    """Return what to do where no phase is recorded."""
    return (
        f"no phase is recorded for the migration {migration!r}: lazymig phase begin records the first one, which "
        "must be that of all processes that run"
    )


class Registration:
    """How one process is registered. One step at a time: the caller sees to that.

    Args:
        phases: The record of the phase.
        members: The records of the fleet.
        record: What the process says of itself.
        calls: Its calls in flight.
        clock: Its clock.
        check: Raises `PhaseError` where this release cannot work by a record.
    """

    def __init__(
        self,
        phases: Phases,
        members: Members,
        record: MemberRecord,
        calls: CallsInFlight,
        clock: Clock,
        check: Callable[[Standing], None],
    ) -> None:
        self._phases, self._members = phases, members
        self._calls, self._clock, self._check = calls, clock, check
        self.lease = Lease(clock, record.lease_s)
        #: What was sent last. Its answer may not have arrived.
        self.record = record
        #: The epoch that others know to be acknowledged.
        self.acknowledged = 0
        #: By which record this process works; None before it has joined.
        self.standing: Standing | None = None
        #: How many registrations ended without its doing.
        self.lost = 0
        #: The key of a registration that is to be replaced.
        self._replaced = ""

    @property
    def settled(self) -> int:
        """The newest epoch by which alone this process works."""
        if self.standing is not None and self._calls.drained:
            return self.standing.epoch
        return self.record.epoch

    @property
    def idle(self) -> bool:
        """Whether nothing at all is in flight."""
        return self._calls.idle

    async def beat(self) -> None:
        """Send a heartbeat and read the phase; register where that is due. Raises `PhaseError` and driver errors."""
        sent_s = self._clock.monotonic()
        epoch = self.settled if self.record.key else 0
        self.record = evolve(self.record, beat=self.record.beat + 1, seen_at=self._clock.now(), epoch=epoch)
        if self.record.key and await self._members.renew(self.record):
            self.acknowledged = self.record.epoch
            await self.look()
        else:
            await self._register()
        self.lease.renew(sent_s)

    async def look(self) -> None:
        """Read the phase and work by it from now on. Raises `PhaseError` where this release cannot."""
        # Its first look since it was registered must not be answered by a primary that was replaced.
        self._follow(await self._find(newest=self.standing is None))

    async def leave(self) -> None:
        """End the lease and remove the record, so that nobody waits for it. Call it while nothing is in flight."""
        self.lease.end()
        if self.record.key:
            await self._members.remove_own(self.record.key)
            self._unregister()

    def forget(self) -> None:
        """Forget the registration: it is that of another process, from which this one was forked."""
        self.lease.end()
        self._calls.forget()
        self._unregister()

    def _unregister(self) -> None:
        self.record = evolve(self.record, key="", epoch=0, beat=0)
        self.acknowledged, self.standing = 0, None

    async def _register(self) -> None:
        if self.record.key:
            self.lease.end()
            self.lost += 1
        self._calls.lose()
        self._unregister()
        await self._find()  # so that one which cannot work does not join
        # Kept before it is sent: where the answer is lost, the next heartbeat finds the record.
        self.record = evolve(self.record, key=uuid4().hex, beat=1)
        await self._members.register(self.record)
        await self.look()
        if self._replaced:
            await self._members.remove_own(self._replaced)
            self._replaced = ""

    async def _find(self, *, newest: bool = False) -> Standing:
        try:
            return self._usable(await (self._phases.find_newest() if newest else self._phases.find()))
        except PhaseError:
            self.lease.end()  # no further call begins by the record before
            raise

    def _usable(self, standing: Standing | None) -> Standing:
        if standing is None:
            raise PhaseError(explain_unrecorded(self._members.migration))
        self._check(standing)
        return standing

    def _follow(self, standing: Standing) -> None:
        known = self.standing
        if known is not None:
            if standing.epoch == known.epoch and standing.last == known.last:
                return
            if standing.epoch <= known.epoch:
                if standing.last in known.history:
                    return  # the answer of a primary that was replaced
                # What was acknowledged belongs to the record before.
                self._replaced = self.record.key
                self.lease.end()
                self._unregister()
                raise PhaseError("the record of the phase was removed and begun again; this process goes on by itself")
        self.standing = standing
        self._calls.begin(standing)
