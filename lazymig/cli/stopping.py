"""Ctrl-C and SIGTERM while a long run is under way: it stops cleanly, and at once when asked twice."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from lazymig.cli.output import complain


@contextmanager
def stopped_by_signals(stop: Callable[[], None]) -> Iterator[None]:
    """Stop a run at the first signal, and cancel it at the second."""
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()
    asked = False

    def ask() -> None:
        nonlocal asked
        if asked and task is not None:
            task.cancel()  # asked twice: stop at once, the checkpoint is right at any time
            return
        asked = True
        complain("stopping after the batches in flight; press Ctrl-C or send the signal again to stop at once")
        stop()

    numbers = (signal.SIGINT, signal.SIGTERM)
    for number in numbers:
        with suppress(NotImplementedError):  # not on Windows, where Ctrl-C aborts
            loop.add_signal_handler(number, ask)
    try:
        yield
    finally:
        for number in numbers:
            with suppress(NotImplementedError):
                loop.remove_signal_handler(number)
