"""A circuit breaker: while a store keeps failing, nobody asks it, so that nobody waits for it.

It decides only whether asking is worth while. A caller that is not let through does what it does after a failure.
"""

from __future__ import annotations

from typing import Final

from lazymig.loop.clock import Clock

#: It opens at this many failures within the window, if they are at least this part of all outcomes in it.
FAILURES: Final = 5
PART: Final = 0.1
WINDOW_S: Final = 10.0
#: How long nobody asks once it has opened. Then one caller probes, and others wait for as long again.
REST_S: Final = 1.0


class Breaker:
    """Counts outcomes, and opens where too many of them are failures.

    Closed, everybody asks. Open, nobody does until the rest is over; then one caller at a time probes, and an answer
    closes it.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._successes = self._failures = 0
        self._since_s = clock.monotonic()
        #: When the next probe may start; None while closed.
        self._probe_at_s: float | None = None

    @property
    def closed(self) -> bool:
        """Whether everybody may ask."""
        return self._probe_at_s is None

    def admits(self) -> bool:
        """Whether to ask now. A caller that is let through reports the outcome."""
        if self._probe_at_s is None:
            return True
        now_s = self._clock.monotonic()
        if now_s < self._probe_at_s:
            return False
        # The next probe starts later, also where this one is cancelled and reports nothing.
        self._probe_at_s = now_s + REST_S
        return True

    def succeeded(self) -> None:
        """Note an answer; it closes the breaker."""
        self._successes += 1
        if self._probe_at_s is not None:
            self._probe_at_s = None
            self._successes = self._failures = 0

    def failed(self) -> None:
        """Note an error, or that no answer came in time."""
        now_s = self._clock.monotonic()
        if self._probe_at_s is not None:
            # From when it failed: a probe may take longer than the rest.
            self._probe_at_s = now_s + REST_S
            return
        if now_s - self._since_s > WINDOW_S:
            self._since_s, self._successes, self._failures = now_s, 0, 0
        self._failures += 1
        if self._failures >= FAILURES and self._failures >= PART * (self._failures + self._successes):
            self._probe_at_s = now_s + REST_S
