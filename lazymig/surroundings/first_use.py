"""The look at the collections before the first call: made once, shared by all calls that wait for it."""

from __future__ import annotations

import asyncio
import contextvars
from types import TracebackType

from attrs import evolve
from pymongo.errors import (
    AutoReconnect,
    ConnectionFailure,
    NetworkTimeout,
    OperationFailure,
    ServerSelectionTimeoutError,
)

from lazymig.errors import ConfigurationError
from lazymig.loop.deadline import Deadline
from lazymig.stores.given import Store
from lazymig.stores.probes import Probe
from lazymig.surroundings.checking import Asked, Surroundings, look_around
from lazymig.surroundings.judging import NoPrimary

#: A read waits this part of its time for the check: where one server cannot be reached, the other may have the answer.
_READ_PART = 4
_READ_WAIT_S = 7.5
#: Whether it is the last try.
_TRIES = (False, False, True)
#: What was waited for already, or will not change by itself.
_FINAL = (ServerSelectionTimeoutError, NetworkTimeout, NoPrimary)
#: A unique index, a validator.
_REFUSALS = frozenset({11000, 121})


class FirstUse:
    """The look before the first call: whether it is still due, and the one that is under way."""

    def __init__(self, asked: Asked, *, both: bool, timeout_s: float | None, read_wait_s: float | None = None) -> None:
        """`both`: V2 is looked at before the first call as well."""
        self._asked = asked
        self._both = both
        self._timeout_s = timeout_s
        given_s = _READ_WAIT_S if timeout_s is None else timeout_s / _READ_PART
        self._read_wait_s = given_s if read_wait_s is None else read_wait_s
        self._task: asyncio.Task[None] | None = None
        #: Direct connections to members of replica sets, once all was well: each may step down and go on answering.
        self._direct: tuple[Probe, ...] = ()
        #: False once it has passed for good: all that later calls look at.
        self.due = not all(probe.in_memory for probe in (asked.v1, asked.v2) if probe is not None)
        #: Finds out whether an index or a validator refuses announcements, once a write was refused.
        self.explaining = Explaining(self)

    async def look(self, *, control: Store | None = None, whole: bool = False) -> Surroundings:
        """Look anew; `whole`: at V2 whatever the phase, and at more of its documents."""
        v2 = self._asked.v2 if whole or self._both else None
        asked = evolve(self._asked, v2=v2, control=control, widely=whole)
        for last in _TRIES:
            try:
                return await look_around(asked)
            except AutoReconnect as error:
                # As drivers do for reads: in an election, the next try waits until there is a primary.
                if last or isinstance(error, _FINAL):
                    raise
        raise AssertionError("the last try returns or raises")

    def call(self, *, writes: bool) -> Deadline:
        """The bounds of a call before which the look is due, within the same time."""
        return _FirstCall(self._timeout_s, self, writes=writes)

    async def passed(self, *, writes: bool = True) -> None:
        """Return when all is well; raise what is not, for the next call to try again.

        A read goes on where a server cannot be reached: it may have its answer from the other one.
        """
        if not self.due or (self._direct and all(probe.is_still_primary for probe in self._direct)):
            return
        task = self._join_look()
        # Not awaited itself: a caller that is cancelled leaves it to the others that wait for it.
        await asyncio.wait({task}, timeout=None if writes else self._read_wait_s)
        if not task.done() or task.cancelled():
            return
        error = task.exception()
        if error is None:
            return
        unreachable = isinstance(error, ConnectionFailure) and not isinstance(error, NoPrimary)
        if writes or not unreachable:
            raise error

    def _join_look(self) -> asyncio.Task[None]:
        loop = asyncio.get_running_loop()
        if self._task is None or self._task.get_loop() is not loop:
            # In a context of its own: no caller's deadline or session is the others' concern.
            self._task = loop.create_task(self._run(), context=contextvars.Context())
            self._task.add_done_callback(_retrieve_error)
        return self._task

    async def _run(self) -> None:
        try:
            async with Deadline(self._timeout_s):
                self._direct = ()
                found = await self.refuse()
            sides = ((found.v1, self._asked.v1), (found.v2, self._asked.v2))
            self._direct = tuple(one for seen, one in sides if one is not None and seen and seen.may_step_down)
            self.due = bool(self._direct)
        finally:
            self._task = None

    async def refuse(self) -> Surroundings:
        """Look anew and raise `ConfigurationError` where something must be changed."""
        found = await self.look()
        found.check()
        return found


def _retrieve_error(task: asyncio.Task[None]) -> None:
    """Retrieve a task's error, for which no caller may have waited."""
    if not task.cancelled():
        task.exception()


class _FirstCall(Deadline):
    """The bounds of a call that begins with the look."""

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
            # What is raised on entering is not passed to leaving, and the timer must stop.
            await super().__aexit__(type(error), error, error.__traceback__)
            raise


class Explaining:
    """Looks again where a write within the block is refused: an index or a validator may be younger than this process.

    Raises `ConfigurationError` in the place of the server's error where that is why.
    """

    __slots__ = ("_first_use",)

    def __init__(self, first_use: FirstUse) -> None:
        self._first_use = first_use

    async def __aenter__(self) -> None:
        """Do nothing: only what is raised within the block matters."""

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, OperationFailure) and error.code in _REFUSALS:
            try:
                await self._first_use.refuse()
            except ConfigurationError as wrong:
                raise wrong from None  # the server's own text quotes the document
