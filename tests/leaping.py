"""A machine that stalls at any moment, without the wait: now and then, the clocks of the test process leap forward.

A test that falls under it depends on the machine's speed, or lazymig does not bear a stall. The time of day does not
leap: it is the servers' as well, and a machine that stalls does not set it.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any

CLOCKS = ("monotonic", "perf_counter", "clock_gettime")
SHORTEST_S = 0.2
#: A machine works between two stalls: a poll that looks often is not sent past its time-out by its own looks.
APART_S = 0.05


class Leaps:
    """A plugin of pytest. At about one of `every` looks at a clock, all of them leap by up to `longest_s`."""

    def __init__(self, seed: int, every: int, longest_s: float) -> None:
        self._seed, self._every, self._longest_s = seed, every, longest_s
        self._random = random.Random(seed)
        self._real: dict[str, Callable[..., float]] = {}
        self.count, self.ahead_s = 0, 0.0
        self.apart_s, self._leapt_at_s = APART_S, 0.0

    def start(self) -> None:
        """Let the clocks leap from now on."""
        for name in CLOCKS:
            real = self._real[name] = getattr(time, name)
            setattr(time, name, self._leaping(real))
            in_ns = self._real[f"{name}_ns"] = getattr(time, f"{name}_ns")
            setattr(time, f"{name}_ns", self._ahead_in_ns(in_ns))

    def stop(self) -> None:
        """Give the machine's clocks back."""
        for name, real in self._real.items():
            setattr(time, name, real)
        self._real.clear()

    def pytest_unconfigure(self) -> None:
        """Leave no trace: a pytest inside a pytest shares its clocks."""
        self.stop()

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Say how to repeat it."""
        terminalreporter.write_line(f"{self.count} leaps of the clocks, {self.ahead_s:.0f} s; repeat: {self}")

    def __str__(self) -> str:
        return f"--leaps={self._seed} --leap-every={self._every} --longest-leap-s={self._longest_s:g}"

    def _leaping(self, real: Callable[..., float]) -> Callable[..., float]:
        def look(*which: int) -> float:
            if _is_of_the_day(which):
                return real(*which)
            if self._random.random() * self._every < 1:
                self._leap()
            return real(*which) + self.ahead_s

        return look

    def _leap(self) -> None:
        now_s = self._real["monotonic"]()
        if now_s - self._leapt_at_s >= self.apart_s:
            self.ahead_s += self._random.uniform(SHORTEST_S, self._longest_s)
            self.count, self._leapt_at_s = self.count + 1, now_s

    def _ahead_in_ns(self, real: Callable[..., float]) -> Callable[..., float]:
        def look(*which: int) -> float:
            return real(*which) + (0 if _is_of_the_day(which) else int(self.ahead_s * 1e9))

        return look


def _is_of_the_day(which: tuple[int, ...]) -> bool:
    return time.CLOCK_REALTIME in which
