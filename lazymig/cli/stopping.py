"""Long runs of a command: they go last on the machine, and stop cleanly when they are asked to."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Protocol, TypeVar

from lazymig.cli.output import complain

#: Added to the niceness of the process: other processes of the machine go first.
_NICE = 10
R_co = TypeVar("R_co", covariant=True)
R = TypeVar("R")


class Stoppable(Protocol[R_co]):
    """A run that a signal may stop."""

    def stop(self) -> None:
        """Finish what is under way and return."""
        ...

    def run(self) -> Awaitable[R_co]:
        """Run to the end, or until stopped."""
        ...


def step_back() -> None:
    """Let other processes of the machine go first. Workers inherit it."""
    if hasattr(os, "nice"):
        os.nice(_NICE)


async def run_stoppable(running: Stoppable[R]) -> R:
    """Run until the end, or until Ctrl-C or SIGTERM stops it."""
    with stopped_by_signals(running.stop):
        return await running.run()


@contextmanager
def stopped_by_signals(stop: Callable[[], None], *, quietly: bool = False) -> Iterator[None]:
    """Call `stop` at the first signal, and cancel the current task at the second one."""
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()
    asked = False

    def ask() -> None:
        nonlocal asked
        if asked and task is not None:
            task.cancel()  # asked twice: stop at once, the checkpoint is right at any time
            return
        asked = True
        if not quietly:
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
