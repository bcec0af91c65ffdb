"""Waiting for a database as long as a person would: one that is away or hangs is found out within seconds.

A look at large collections may take long while the databases answer. So it is not the look that has a time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import Final, TypeVar

from pymongo.errors import OperationFailure, PyMongoError, WriteConcernError

from lazymig.loop.deadline import Deadline
from lazymig.repository import calls_of
from lazymig.stores.soundings import Soundings
from lazymig.web.actions.action import Case

R = TypeVar("R")

#: Seconds for the answer to one small statement.
ANSWER_S: Final = 4.0
#: Seconds for another statement, where a person has just waited that long in vain.
ONCE_MORE_S: Final = 1.0
#: Seconds from one question whether the databases answer to the next, while something is looked up.
_APART_S: Final = 1.0


async def while_answering(case: Case, looking: Coroutine[object, object, R]) -> R:
    """Return what is looked up, however long that takes. Raises the driver's error where a database does not answer."""
    look = _begin(looking)
    try:
        while not (await asyncio.wait({look}, timeout=_APART_S))[0]:
            sounding = _begin(_sound(case))
            both: set[asyncio.Future[R] | asyncio.Future[None]] = {look, sounding}
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            if not look.done():
                sounding.result()
        return look.result()
    finally:
        look.cancel()


def is_refusal(error: PyMongoError) -> bool:
    """Whether a database has answered, and done nothing."""
    return isinstance(error, OperationFailure) and not isinstance(error, WriteConcernError)


async def _sound(case: Case) -> None:
    """Ask each database for what costs it least. A refusal is an answer."""
    async with Deadline(ANSWER_S):
        with suppress(OperationFailure):
            await case.parts.journal(case.name).find_last(1)
        for store in calls_of(case.repository).stores:
            with suppress(OperationFailure):
                await Soundings(store).ask()


def _begin(work: Coroutine[object, object, R]) -> asyncio.Future[R]:
    begun = asyncio.ensure_future(work)
    begun.add_done_callback(_notice)
    return begun


def _notice(task: asyncio.Future[R]) -> None:
    """Take note of an error, also where nobody waits for it any more."""
    if not task.cancelled():
        task.exception()
