"""Waiting for the end of a task that nobody needs any more, or of code that goes on beside."""

from __future__ import annotations

import asyncio


async def end_code(task: asyncio.Task[object] | None) -> None:
    """Wait for the end of a caller's code, which was cancelled because it is too slow for the others."""
    if task is None:
        return
    try:
        await asyncio.wait({task})
    except asyncio.CancelledError:
        await stop(task)
        raise


async def stop(task: asyncio.Task[object]) -> None:
    """Cancel a task and wait for its end, in a call that is cancelled itself. Further cancellations are passed on."""
    while not task.done():
        task.cancel()
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError:
            continue
