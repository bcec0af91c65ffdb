"""The tasks that a test itself starts, since others come and go meanwhile, and calls that it runs in parts."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Generator, Iterator
from contextlib import contextmanager
from types import coroutine
from typing import Any

Tasks = list[asyncio.Task[Any]]


@contextmanager
def own_tasks() -> Iterator[Tasks]:
    """The tasks that the current task starts within the with statement, and those that they start in turn."""
    loop, started = asyncio.get_running_loop(), Tasks()
    own, before = {asyncio.current_task()}, loop.get_task_factory()

    def start(loop: asyncio.AbstractEventLoop, work: Any, **options: Any) -> Any:
        task = asyncio.Task(work, loop=loop, **options) if before is None else before(loop, work, **options)
        if asyncio.current_task() in own:
            started.append(task)
            own.add(task)
        return task

    loop.set_task_factory(start)
    try:
        yield started
    finally:
        loop.set_task_factory(before)


@coroutine
def run_until(reached: asyncio.Event, call: Coroutine[Any, Any, Any]) -> Generator[Any]:
    """Run a call in this task until it waits for something, with the event set."""
    while True:
        waits = call.send(None)
        if reached.is_set():
            return
        yield waits
