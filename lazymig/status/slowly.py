"""What costs the servers more to look up, and when it is looked up again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import TypeAlias

from attrs import frozen

from lazymig.status.counting import Sampled
from lazymig.status.gates import Facts, find_changed
from lazymig.switch import Plan


@frozen
class Slow:
    """What costs the servers more to look up."""

    at: datetime
    sampled: Sampled
    unseen: tuple[str, ...]
    foreign: tuple[str, ...]
    plan: Plan | None
    #: What the conditions of the plan rest on, as it was before they were judged.
    facts: Facts | None = None

    def find_changed(self, now: Facts) -> frozenset[str]:
        """Return the conditions of the plan that rest on something that has changed since."""
        return frozenset() if self.plan is None or self.facts is None else find_changed(self.plan, self.facts, now)


@frozen
class Recalled:
    """What was looked up slowly before.

    Attributes:
        slow: What was found; without the next step where the fleet has moved since. None where nothing was.
        old: Whether it is time to look again.
        moved: Whether the fleet has moved since.
        doubtful: Whether a condition is in doubt that only another look can judge.
    """

    slow: Slow | None
    old: bool = True
    moved: bool = False
    doubtful: bool = False


#: Returns what is shown: what is recalled, or what looking again finds.
Chooser: TypeAlias = Callable[[Recalled, Callable[[], Awaitable[Slow]]], Awaitable[Slow]]


async def look_when_due(known: Recalled, look: Callable[[], Awaitable[Slow]]) -> Slow:
    """Look again where it is time or the fleet has moved, and let the caller wait for it."""
    due = known.old or known.moved or known.doubtful
    return await look() if known.slow is None or due else known.slow
