"""The wait before something is tried again that failed because of the server's state."""

from __future__ import annotations

from lazymig.loop.clock import Clock

#: Seconds: at first, and at most.
_FIRST_S, _MOST_S = 0.1, 10.0


async def back_off(clock: Clock, failed: int) -> None:
    """Wait longer after each failure in a row, by a random part, so that processes do not come back together."""
    wait_s = min(_FIRST_S * 2.0 ** min(failed, 10), _MOST_S)
    await clock.sleep(wait_s * (0.5 + clock.random() / 2))
