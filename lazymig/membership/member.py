"""One process in the fleet of a migration: it follows the recorded phase, and shows others which one it works by.

The order of steps is what the fleet rests on. A process registers before it reads the phase, so that whoever moves the
phase afterwards waits for it. It acknowledges an epoch only once no call is in flight that began under an earlier one.
It works only while its lease is held, so a process that is judged dead has stopped before the fleet goes on without it.
"""

from __future__ import annotations

import asyncio
import contextvars
import os
import socket
import weakref
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from uuid import uuid4

from attrs import evolve
from pymongo.errors import PyMongoError

from lazymig.control import MemberRecord, Parts, Standing
from lazymig.errors import PhaseError
from lazymig.loop.clock import Clock
from lazymig.membership.in_flight import CallsInFlight, Entered
from lazymig.membership.lease import LEASE_S, Lease

#: Seconds between two looks at the phase: usually, and while writes are about to be held.
POLL_S, ATTENTIVE_S = 0.5, 0.02
#: Seconds that a write waits while writes are held, at most. Then it goes on: the database refuses what comes too late.
HOLD_MAX_S = 10.0


class Member:
    """Registers this process, renews its lease, and lets calls in.

    Args:
        parts: The control collection.
        migration: The migration's name.
        revision: The conversion revision of this process's migration.
        role: What the process does: "service", or the tool that it runs.
        lease_s: Seconds that it may work after a heartbeat.
    """

    def __init__(
        self, parts: Parts, migration: str, revision: int, *, role: str = "service", lease_s: float = LEASE_S
    ) -> None:
        self._phases, self._members = parts.phases(migration), parts.members(migration)
        self._clock: Clock = parts.clock
        self._migration = migration
        self._lease = Lease(self._clock, lease_s)
        self._calls = CallsInFlight()
        name = f"{socket.gethostname()}:{os.getpid()}"
        self._record = MemberRecord("", name, role, _release(), revision, 0, 0, lease_s, self._clock.now())
        self._standing: Standing | None = None
        self._held_since_s: float | None = None
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._beating = asyncio.Lock()

    @property
    def standing(self) -> Standing:
        """Where the migration stands. Raises `PhaseError` before the process has joined."""
        if self._standing is None:
            raise PhaseError("the phase is not known before the first call: await repository.check() first")
        return self._standing

    @property
    def record(self) -> MemberRecord:
        """How this process is registered."""
        return self._record

    async def join(self) -> Standing:
        """Register and read the phase, unless that is done. Raises `PhaseError` where no phase is recorded."""
        if not self._lease.held or self._task is None or self._task.done():
            await self._beat()
            if self._task is None or self._task.done():
                self._task = asyncio.get_running_loop().create_task(
                    _keep(weakref.ref(self)), context=contextvars.Context()
                )
        return self.standing

    async def leave(self) -> None:
        """Take the process out of the fleet, so that nobody waits for its lease."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        self._lease.end()
        if self._record.key:
            with suppress(PyMongoError):  # its lease will be over
                await self._members.remove(self._record)
            self._record = evolve(self._record, key="", epoch=0, beat=0)

    async def enter(self, *, writes: bool) -> Entered:
        """Let a call in, and return what ends it. Waits while writes are held.

        Raises `PhaseError` where the lease is over and cannot be renewed.
        """
        if not self._lease.held:
            await self._renew_or_refuse()
        if writes and self.standing.hold == "writes":
            await self._wait_for_release()
        return self._calls.begin(self.standing.epoch, writes=writes)

    def end(self, entered: Entered) -> None:
        """Count the end of a call."""
        self._calls.end(entered)

    async def _renew_or_refuse(self) -> None:
        try:
            await self.join()
        except PyMongoError as error:
            raise PhaseError(
                "this process cannot renew its lease in the control collection, so it does not know the phase; it "
                f"goes on by itself once that answers ({type(error).__name__})"
            ) from error
        if not self._lease.held:
            raise PhaseError("the lease of this process is over, and was not renewed in time; call again")

    async def _wait_for_release(self) -> None:
        until_s = (self._held_since_s or self._clock.monotonic()) + HOLD_MAX_S
        while self.standing.hold == "writes" and (left_s := until_s - self._clock.monotonic()) > 0:
            self._changed.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), left_s)

    # Heartbeats.

    async def _beat(self) -> None:
        """Send a heartbeat with the acknowledged epoch, and read the phase after it."""
        async with self._beating:
            sent_s = self._clock.monotonic()
            record = evolve(self._record, beat=self._record.beat + 1, seen_at=self._clock.now(), epoch=self._settled)
            if not record.key or not await self._members.renew(record):
                # Registered anew, it has acknowledged nothing.
                record = evolve(record, key=uuid4().hex, beat=1, epoch=0)
                await self._members.register(record)
            self._record = record
            await self._look()
            self._lease.renew(sent_s)

    @property
    def _settled(self) -> int:
        """The newest epoch under which alone this process works."""
        if self._standing is None:
            return 0
        epoch, held = self._standing.epoch, self._standing.hold == "writes"
        return epoch if self._calls.is_drained(epoch, of_writes=held) else self._record.epoch

    async def _look(self) -> None:
        standing = await self._phases.find()
        if standing is None:
            raise PhaseError(
                f"no phase is recorded for the migration {self._migration}: lazymig phase begin --app ... records the "
                "first one"
            )
        if self._standing is None or standing.epoch != self._standing.epoch:
            self._held_since_s = self._clock.monotonic() if standing.hold == "writes" else None
            self._standing = standing
            self._changed.set()

    async def _step(self) -> None:
        """Look at the phase, send a heartbeat where one is due, and wait a moment."""
        due = self._lease.left_s < self._lease.lease_s * 0.8
        try:
            if due:
                await self._beat()
            else:
                await self._look()
            if self._settled != self._record.epoch:
                await self._beat()
        except (PyMongoError, PhaseError):
            pass  # the lease runs on; calls say so once it is over
        attentive = self._standing is not None and (self._standing.hold or self._settled != self._standing.epoch)
        await self._clock.sleep(ATTENTIVE_S if attentive else POLL_S)


async def _keep(member: weakref.ref[Member]) -> None:
    """Keep a process in its fleet as long as anything uses it."""
    while (kept := member()) is not None:
        step = kept._step()
        del kept
        await step


def _release() -> str:
    try:
        return version("lazymig")
    except PackageNotFoundError:
        return ""
