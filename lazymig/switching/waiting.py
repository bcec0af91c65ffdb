"""Waiting until every process has acknowledged an epoch. A process whose lease is over is waited for no longer."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from lazymig.control import MemberRecord, Parts
from lazymig.errors import PhaseError

#: A process is dead once its heartbeats have stood still for its lease and this much more: clocks may run at different
#: speeds, and a heartbeat may have been under way when it was looked at first.
_FACTOR, _MARGIN_S = 1.2, 1.0
#: Seconds between two looks: usually, and while writes are held.
LOOK_S, SOON_S = 0.2, 0.02

Say = Callable[[str], None]


class NotAcknowledged(PhaseError):
    """Some processes have not acknowledged the epoch in time."""


class RollCall:
    """Watches the processes of one fleet, by this process's monotonic clock alone."""

    def __init__(self, parts: Parts, migration: str, say: Say) -> None:
        self._members, self._phases = parts.members(migration), parts.phases(migration)
        #: No lease is taken for shorter than that of this process: somebody may have changed a row.
        self._least_s = parts.lease_s
        self._clock = parts.clock
        self._say = say
        #: The last heartbeat of each process, and when it was seen first.
        self._seen: dict[str, tuple[int, float]] = {}

    async def find_behind(self, epoch: int) -> list[MemberRecord]:
        """Find the processes that have not acknowledged the epoch; remove those whose lease is over."""
        behind = []
        members = await self._members.find_all()
        newest = await self._find_newest(epoch) if any(one.epoch > epoch for one in members) else epoch
        for member in members:
            if not member.is_behind(epoch, newest):
                continue
            if self._is_over(member) and await self._members.remove(member):
                self._say(f"{member.name} sends no heartbeats; its lease is over, so it is left out")
            else:
                behind.append(member)
        return behind

    async def wait(self, epoch: int, *, at_most_s: float, look_s: float = LOOK_S) -> None:
        """Wait until every process has acknowledged the epoch. Raises `NotAcknowledged`, which names the others."""
        until_s = self._clock.monotonic() + at_most_s
        said: set[str] = set()
        while behind := await self.find_behind(epoch):
            if self._clock.monotonic() >= until_s:
                raise NotAcknowledged(self._describe(behind, epoch, at_most_s))
            late = {member.name for member in behind}
            if late != said and self._clock.monotonic() > until_s - at_most_s + 1.0:
                said = late
                self._say(f"waiting for {', '.join(sorted(late))} to acknowledge epoch {epoch}")
            await self._clock.sleep(look_s)

    async def _find_newest(self, epoch: int) -> int:
        """Return the newest epoch: after the processes were found, so that none has acknowledged a later one."""
        standing = await self._phases.find()
        return epoch if standing is None else max(epoch, standing.epoch)

    def _is_over(self, member: MemberRecord) -> bool:
        beat, since_s = self._seen.get(member.key, (None, 0.0))
        if beat != member.beat:
            self._seen[member.key] = member.beat, self._clock.monotonic()
            return False
        return self._clock.monotonic() - since_s > self._lease_s(member) * _FACTOR + _MARGIN_S

    def _lease_s(self, member: MemberRecord) -> float:
        return max(member.lease_s, self._least_s)

    def _describe(self, behind: Sequence[MemberRecord], epoch: int, waited_s: float) -> str:
        named = "; ".join(self._describe_one(member, epoch) for member in behind)
        return (
            f"not every process has acknowledged epoch {epoch} within {waited_s:,.0f} s: {named}. Look at these "
            "processes, or stop them, and try again"
        )

    def _describe_one(self, member: MemberRecord, epoch: int) -> str:
        _, since_s = self._seen.get(member.key, (0, self._clock.monotonic()))
        silent_s = self._clock.monotonic() - since_s
        if not member.has_lease:
            return self._members.describe_without_lease(member)
        if silent_s > (lease_s := self._lease_s(member)) * 0.5:
            does = f"sent no heartbeat for {silent_s:,.0f} s and may be paused; its lease takes {lease_s:,.0f} s"
        elif member.epoch > epoch:
            does = f"names epoch {member.epoch:,}, which the record has not reached; its next heartbeat puts that right"
        elif member.epoch == 0:
            does = "has just started"
        else:
            does = f"is alive and still works by epoch {member.epoch}: a call that began then has not ended"
        return f"{member.name} ({member.role}) {does}"
