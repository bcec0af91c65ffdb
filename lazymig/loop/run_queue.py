"""How long a thread has waited for a processor, which no server is to blame for."""

from __future__ import annotations

import os
from pathlib import Path

#: What Linux counts of the thread that reads it: nanoseconds on a processor, nanoseconds that it waited for one, turns.
_COUNTS = Path("/proc/thread-self/schedstat")


def read_waited_s(counts: Path = _COUNTS) -> float:
    """Return how many seconds this thread was ready and had no processor, since it began; 0 where nothing counts that.

    The difference of two answers is what a time between them contains of it.
    """
    try:
        return int(counts.read_text("ascii").split()[1]) / 1e9
    except (OSError, ValueError, IndexError):
        return 0.0


def give_way() -> None:
    """Let threads go first that wait for this one's processor. Where none waits, and where it cannot, nothing happens.

    A scheduler lets a thread finish its slice of some milliseconds, even if one of a higher priority wakes up.
    """
    if hasattr(os, "sched_yield"):
        os.sched_yield()
