"""How long a thread has waited for a processor, which no server is to blame for."""

from __future__ import annotations

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
