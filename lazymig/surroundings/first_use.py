"""The check of the collections before the first call: made once, and shared by all calls that wait for it."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Awaitable, Callable
from types import TracebackType

from attrs import evolve
from pymongo.errors import (
    AutoReconnect,
    ConnectionFailure,
    NetworkTimeout,
    OperationFailure,
    ServerSelectionTimeoutError,
)

from lazymig.errors import ConfigurationError, PhaseError
from lazymig.loop.deadline import Deadline
from lazymig.loop.own_errors import own_error
from lazymig.stores.fencing import is_refused_by_fence
from lazymig.stores.given import Store
from lazymig.stores.probes import Probe
from lazymig.surroundings.checking import Asked, Surroundings, look_around
from lazymig.surroundings.judging import NoPrimary

#: A read waits for the check for this fraction of its time: where one server cannot be reached, the other may answer.
_READ_PART = 4
_READ_WAIT_S = 7.5
#: The tries of a check; True for the last.
_TRIES = (False, False, True)
#: Errors after which another try is useless: the driver has waited already, or waiting does not help.
_FINAL = (ServerSelectionTimeoutError, NetworkTimeout, NoPrimary)
#: The codes of refusals by a unique index and by a validator.
_INVALID = 121
_REFUSALS = frozenset({11000, _INVALID})
_SEALED = (
    "the migration has gone on to v2_only, or is being sealed for it: the database refuses writes of earlier phases, "
    "and this one was not made. Run this process in v2_only; with phase=control it goes there by itself. If a seal "
    "was interrupted, lazymig phase show says so"
)


class FirstUse:
    """The check before the first call: whether it is still due, and the running one."""

    def __init__(
        self,
        asked: Asked,
        *,
        both: bool,
        timeout_s: float | None,
        read_wait_s: float | None = None,
        further: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """With `both`, V2 is checked before the first call as well; `further` is called in the end."""
        self._asked = asked
        self._further = further
        self._both = both
        self._timeout_s = timeout_s
        given_s = _READ_WAIT_S if timeout_s is None else timeout_s / _READ_PART
        self._read_wait_s = given_s if read_wait_s is None else read_wait_s
        self._task: asyncio.Task[None] | None = None
        #: How many calls have joined the running check, or the last one.
        self._joined = 0
        #: Whether a server could not be reached by the last check. Reads do not wait for the next one then.
        self._away = False
        #: Direct connections to members of replica sets that passed the check: each may step down and still answer.
        self._direct: tuple[Probe, ...] = ()
        #: Whether calls must still check. False once the check has passed for good.
        self.due = not all(probe.in_memory for probe in (asked.v1, asked.v2) if probe is not None)
        #: Whether this is the phase that the fences are for.
        self.sealed = not asked.reads_v1
        #: Finds out, after a write was refused, whether an index or a validator refuses announcements.
        self.explaining = Explaining(self)

    async def look(self, *, control: Store | None = None, whole: bool = False) -> Surroundings:
        """Check again. `whole`: check V2 in every phase, read more of its documents, and let it lack entities."""
        v2 = self._asked.v2 if whole or self._both else None
        complete = self._asked.complete and not whole
        asked = evolve(self._asked, v2=v2, control=control, widely=whole, complete=complete)
        for last in _TRIES:
            try:
                return await look_around(asked)
            except AutoReconnect as error:
                # Try again, as drivers do for reads: in an election, the next try waits until there is a primary.
                if last or isinstance(error, _FINAL):
                    raise
        raise AssertionError("the last try returns or raises")

    def call(self, *, writes: bool) -> Deadline:
        """Return the context of a call that must check first, within the call's time."""
        return _FirstCall(self._timeout_s, self, writes=writes)

    async def passed(self, *, writes: bool = True) -> None:
        """Return once the check passes. Raises what it found or failed with; the next call checks again.

        A read continues where a server cannot be reached: the other one may answer it.
        """
        if not self.due or (self._direct and all(probe.is_still_primary for probe in self._direct)):
            return
        task = self._join_look()
        if self._away and not writes:
            return
        # `wait` does not cancel the task with a caller: other callers may wait for it too.
        await asyncio.wait({task}, timeout=None if writes else self._read_wait_s)
        if not task.done():
            self._away = True
        if not task.done() or task.cancelled():
            return
        error = task.exception()
        if error is None:
            return
        if writes or not _is_unreachable(error):
            raise own_error(error) if self._joined > 1 else error

    def _join_look(self) -> asyncio.Task[None]:
        loop = asyncio.get_running_loop()
        if self._task is None or self._task.get_loop() is not loop:
            # In a new context: one caller's deadline or session must not affect the others.
            self._task = loop.create_task(self._run(), context=contextvars.Context())
            self._task.add_done_callback(_retrieve_error)
            self._joined = 0
        self._joined += 1
        return self._task

    async def _run(self) -> None:
        try:
            async with Deadline(self._timeout_s):
                self._direct = ()
                found = await self.recheck()
                if self._further is not None:
                    await self._further()
            sides = ((found.v1, self._asked.v1), (found.v2, self._asked.v2))
            self._direct = tuple(one for seen, one in sides if one is not None and seen and seen.may_step_down)
            self.due = bool(self._direct)
            self._away = False
        except Exception as error:
            # Any other error is raised in the next read, which so must wait for it.
            self._away = _is_unreachable(error)
            raise
        finally:
            self._task = None

    async def recheck(self) -> Surroundings:
        """Check again, and raise `ConfigurationError` where something must be changed."""
        found = await self.look()
        found.check()
        return found


def _is_unreachable(error: BaseException) -> bool:
    return isinstance(error, ConnectionFailure) and not isinstance(error, NoPrimary)


def _retrieve_error(task: asyncio.Task[None]) -> None:
    """Retrieve a task's error, so that asyncio does not log it where no caller waited."""
    if not task.cancelled():
        task.exception()


class _FirstCall(Deadline):
    """The context of a call that begins with the check."""

    __slots__ = ("_first_use", "_writes")

    def __init__(self, timeout_s: float | None, first_use: FirstUse, *, writes: bool) -> None:
        super().__init__(timeout_s)
        self._first_use = first_use
        self._writes = writes

    async def __aenter__(self) -> None:
        await super().__aenter__()
        try:
            await self._first_use.passed(writes=self._writes)
        except BaseException as error:
            # Python does not call `__aexit__` for an error in `__aenter__`, and the timer must stop.
            await super().__aexit__(type(error), error, error.__traceback__)
            raise


class Explaining:
    """Checks again where a write within the block is refused: an index or a validator may be newer than the last check.

    Raises `ConfigurationError` instead of the server's error where that is the reason, and `PhaseError` where the fence
    of a later phase is.
    """

    __slots__ = ("_first_use",)

    def __init__(self, first_use: FirstUse) -> None:
        self._first_use = first_use

    async def __aenter__(self) -> None:
        """Do nothing: only errors within the block matter."""

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not isinstance(error, OperationFailure) or error.code not in _REFUSALS:
            return
        if is_refused_by_fence(error):
            raise PhaseError(_SEALED) from None
        found = await self._first_use.look()
        # Servers before 5.0 do not say which rule refused it.
        if error.code == _INVALID and any(found.fenced) and not self._first_use.sealed:
            raise PhaseError(_SEALED) from None
        try:
            found.check()
        except ConfigurationError as wrong:
            raise wrong from None  # the server's text quotes the document
