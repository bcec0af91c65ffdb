"""The state of a follower, on stderr: one live line on a terminal, a line now and then elsewhere, or JSON lines."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Self

import attrs
from attrs import define
from rich.live import Live
from rich.text import Text

from lazymig.cli.output import talk
from lazymig.cli.progress import LINE_EVERY_S, describe_throttle
from lazymig.follower import FollowReport
from lazymig.loop.clock import SYSTEM_CLOCK, Clock
from lazymig.status.json_text import as_json


def describe(report: FollowReport) -> str:
    """Return how stale heals were, in words."""
    p50_s, p99_s = report.staleness_p50_s, report.staleness_p99_s
    if p50_s is None or p99_s is None:
        return "nothing to heal yet"
    return f"p50 {p50_s * 1000:,.0f} ms, p99 {p99_s * 1000:,.0f} ms"


def state_of(report: FollowReport) -> str:
    """Return a follower's state on one line."""
    if report.waiting:
        return "waiting: another process follows"
    parts = [f"{report.events:,} changes", f"{sum(report.rogue.values()):,} not announced", f"{report.healed:,} healed"]
    if report.dead:
        parts.append(f"{report.dead:,} not healed")
    parts.append(f"lag {report.lag_s:.1f} s")
    if report.staleness_p99_s is not None:
        parts.append(f"p99 {report.staleness_p99_s * 1000:,.0f} ms")
    if report.catching_up:
        parts.append("verifying both sides")
    if report.throttle:
        parts.append(describe_throttle(report.throttle))
    return ", ".join(parts)


@define
class StatusLine:
    """Shows the state of a follower, as often as is useful. A context manager."""

    in_json: bool = False
    every_s: float = LINE_EVERY_S
    clock: Clock = SYSTEM_CLOCK
    _shown_at_s: float = float("-inf")
    _last: FollowReport | None = None
    _live: Live | None = None

    def __enter__(self) -> Self:
        if talk.is_terminal and not self.in_json:
            self._live = Live("", console=talk, refresh_per_second=4)
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()
        elif self._last is not None:
            self._write(self._last)

    def update(self, report: FollowReport) -> None:
        """Take note of what the follower has done."""
        if self._live is not None:
            self._live.update(Text(f"follow: {state_of(report)}", no_wrap=True, overflow="ellipsis"))
            return
        self._last = report
        now_s = self.clock.monotonic()
        # A change of state is shown at once.
        if now_s - self._shown_at_s >= self.every_s:
            self._shown_at_s = now_s
            self._write(report)

    def _write(self, report: FollowReport) -> None:
        self._last = None
        line = as_json({"event": "follow", **attrs.asdict(report)}) if self.in_json else f"follow: {state_of(report)}"
        sys.stderr.write(line + "\n")
        sys.stderr.flush()
