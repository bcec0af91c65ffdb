"""Asking the application who it is, within a time: a hook that hangs holds up neither the page nor the service."""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from inspect import isawaitable, iscoroutinefunction
from threading import Thread
from typing import Final, TypeAlias

from attrs import define, field
from starlette.requests import Request

#: Returns the name of the person who sends a request, if they may do this; None if they may not.
Authorize: TypeAlias = Callable[[Request, str], str | Awaitable[str | None] | None]

_LOGGER: Final = logging.getLogger("lazymig.web")
#: Seconds for an answer. A person waits for it.
_ANSWER_S: Final = 5.0
#: Calls that were given up and have not ended. With so many no further one is made: each holds a task or a thread.
_LATE_MAX: Final = 16


class TooLate(Exception):
    """The hook has not answered in time."""


@define(eq=False)
class _Call:
    """One call of a hook.

    Attributes:
        answer: What it answers: the task that awaits it.
        thread: Where a hook runs that is not async: one that waits would hold up the event loop, and so the service.
    """

    authorize: Authorize
    answer: asyncio.Task[object] = field(init=False)
    thread: Thread | None = None

    @property
    def has_ended(self) -> bool:
        """Whether nothing of it is at work."""
        is_over = self.answer.done() or self.answer.get_loop().is_closed()
        return is_over and not (self.thread is not None and self.thread.is_alive())

    async def make(self, request: Request, action: str) -> object:
        """Return what the hook returns, or what it lets one await."""
        try:
            if iscoroutinefunction(self.authorize):
                found: object = self.authorize(request, action)
            else:
                found = await self._make_in_thread(lambda: self.authorize(request, action))
            return await found if isawaitable(found) else found
        except (SystemExit, KeyboardInterrupt) as error:  # in a task, these would end the server
            raise RuntimeError(f"authorize raised {type(error).__name__}") from error

    async def _make_in_thread(self, call: Callable[[], object]) -> object:
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[tuple[object, BaseException | None]] = loop.create_future()
        context = contextvars.copy_context()

        def work() -> None:
            found, error = None, None
            try:
                found = context.run(call)
            except BaseException as raised:
                error = raised
            with suppress(RuntimeError):  # the event loop may have ended meanwhile
                loop.call_soon_threadsafe(_settle, ended, found, error)

        # One that ends with the process, whatever it waits for: threads of a pool are waited for.
        self.thread = Thread(target=work, name="lazymig authorize", daemon=True)
        self.thread.start()
        found, error = await ended
        if error is not None:
            raise error if isinstance(error, Exception) else RuntimeError(f"authorize raised {type(error).__name__}")
        return found


#: Calls that were given up.
_LATE: Final[list[_Call]] = []


async def ask(authorize: Authorize, request: Request, action: str) -> object:
    """Return what the hook answers. Raises what the hook raises, and `TooLate` where there is no answer in time."""
    _LATE[:] = [call for call in _LATE if not call.has_ended]
    if len(_LATE) >= _LATE_MAX:
        _LOGGER.error("authorize is not asked about %s: %d calls of it have not ended", action, len(_LATE))
        raise TooLate
    call = _Call(authorize)
    call.answer = asyncio.create_task(call.make(request, action))
    try:
        await asyncio.wait({call.answer}, timeout=_ANSWER_S)
    finally:
        if not call.answer.done():  # in time or not: the request itself may have been cancelled
            _LATE.append(call)
            call.answer.cancel()
    if not call.answer.done():
        _LOGGER.error("authorize has not answered about %s within %g s, which is refused", action, _ANSWER_S)
        raise TooLate
    if call.answer.cancelled():
        raise RuntimeError("authorize was cancelled by itself")
    return call.answer.result()


def _settle(
    ended: asyncio.Future[tuple[object, BaseException | None]], found: object, error: BaseException | None
) -> None:
    if not ended.done():  # it was not given up
        ended.set_result((found, error))
