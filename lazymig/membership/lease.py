"""The right to work for some seconds, counted on the process's own monotonic clock."""

from __future__ import annotations

from lazymig.loop.clock import Clock

#: How long a process may work after a heartbeat. Also how long a step waits for a process that died.
LEASE_S = 15.0


class Lease:
    """A lease that each heartbeat renews.

    It is counted from before the heartbeat was sent. Others see the heartbeat later, so to them the lease is never over
    earlier than it is here.
    """

    def __init__(self, clock: Clock, lease_s: float = LEASE_S) -> None:
        self._monotonic = clock.monotonic
        self.lease_s = lease_s
        self._until_s = float("-inf")

    @property
    def held(self) -> bool:
        """Whether the process may work now."""
        return self._monotonic() < self._until_s

    @property
    def left_s(self) -> float:
        """Seconds until it is over; 0 where it is."""
        return max(0.0, self._until_s - self._monotonic())

    def renew(self, sent_s: float) -> None:
        """Renew it by a heartbeat that was sent at this moment of the monotonic clock and was recorded."""
        self._until_s = sent_s + self.lease_s

    def end(self) -> None:
        """End it now."""
        self._until_s = float("-inf")
