"""Ctrl-C while processes start: the terminal sends it to all of them, also to one that cannot handle it yet.

Python would end such a process with a traceback. So it starts with the signal held back, and takes it once it knows how
to stop. Until then only the process that has started it is stopped, which ends the others.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_HELD: Final = {signal.SIGINT}
#: Not on Windows.
_CAN_HOLD: Final = hasattr(signal, "pthread_sigmask")


@contextmanager
def interrupts_held_back() -> Iterator[None]:
    """Start processes within it. This one gets the signal afterwards, if it comes meanwhile."""
    if not _CAN_HOLD:
        yield
        return
    # Python's own helper process, which the first start of a process begins otherwise, and which lets signals through.
    from multiprocessing.resource_tracker import ensure_running

    ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _HELD)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def let_interrupts_through() -> None:
    """Take the signal from now on, and one that has come before."""
    if _CAN_HOLD:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _HELD)


def hold_interrupts_back() -> None:
    """Take the signal no more: the process comes to its end by itself."""
    if _CAN_HOLD:
        signal.pthread_sigmask(signal.SIG_BLOCK, _HELD)
