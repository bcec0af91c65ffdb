"""The bound in time of a call, all its round trips together."""

from __future__ import annotations

import asyncio
import contextvars
from asyncio import AbstractEventLoop, current_task, get_running_loop
from types import TracebackType

from pymongo.errors import NetworkTimeout

#: A task that is being cancelled already is not cancelled again for this many seconds, this many times. On Python 3.11
#: a second cancellation while the driver looks for a server leaves its lock taken for ever, and the client is dead.
_AGAIN_S = 0.05
_AGAIN_MAX = 20


class _Open:
    """The open deadlines of one length in one event loop, in the order in which they end: that in which they began.

    One timer serves them all. `asyncio.timeout` sets one for each block and cancels it, which costs a call that is in
    time more than everything else that bounds it.
    """

    __slots__ = ("_length_s", "_loop", "armed", "ends")

    def __init__(self, loop: AbstractEventLoop, length_s: float) -> None:
        self._loop = loop
        self._length_s = length_s
        self.armed = False
        #: When each ends, by the loop's clock.
        self.ends: dict[Deadline, float] = {}

    def arm(self, end_s: float) -> None:
        """Set the timer."""
        self.armed = True
        # In a new context: the timer outlives the call that began first, and would keep what belongs to that call.
        self._loop.call_at(end_s, self._expire, context=contextvars.Context())

    def _expire(self) -> None:
        """End the deadlines that are over, and wait for the first of the others."""
        self.armed = False
        now_s = self._loop.time()
        while self.ends:
            deadline, end_s = next(iter(self.ends.items()))
            if end_s > now_s:
                self.arm(end_s)
                return
            del self.ends[deadline]
            deadline.expire()
        # Nothing is open, and no reference to the event loop must stay.
        _OPEN.pop((self._loop, self._length_s), None)


#: What is open, by event loop and length.
_OPEN: dict[tuple[AbstractEventLoop, float], _Open] = {}


def _open_first(loop: AbstractEventLoop, length_s: float) -> _Open:
    for known in [known for known in list(_OPEN) if known[0].is_closed()]:
        _OPEN.pop(known, None)  # its timer never fires
    return _OPEN.setdefault((loop, length_s), _Open(loop, length_s))


class Deadline:
    """Bounds a block to this many seconds, or not at all; raises the driver's `NetworkTimeout` when they are over.

    Within it the client's own time-outs hold, and the driver retries statements as always. PyMongo's own `timeout`
    would replace both, and it makes each statement about a tenth slower: on Python 3.11 it starts a task to send the
    request.
    """

    __slots__ = ("_again", "_cancelling", "_expired", "_open", "_task", "_timeout_s")
    _task: asyncio.Task[object]
    #: How many cancellations of the task were requested before the block.
    _cancelling: int
    _expired: bool

    def __init__(self, timeout_s: float | None) -> None:
        self._timeout_s = timeout_s
        self._open: _Open | None = None
        self._again = 0

    async def __aenter__(self) -> object:
        self.begin()
        return None

    def begin(self) -> None:
        """Start the time."""
        timeout_s = self._timeout_s
        if timeout_s is None:
            return  # without a bound no event loop is needed: the explorer runs reads without one
        loop = get_running_loop()
        task = current_task(loop)
        if task is None:
            raise RuntimeError("a call that is bounded in time runs in a task")
        self._task, self._cancelling, self._expired = task, task.cancelling(), False
        self._open = found = _OPEN.get((loop, timeout_s)) or _open_first(loop, timeout_s)
        end_s = found.ends[self] = loop.time() + timeout_s
        if not found.armed:
            found.arm(end_s)

    def expire(self) -> None:
        """Cancel the task, whose time is over; later, if somebody else has just done so."""
        if self._open is None:
            return  # it has ended meanwhile
        if self._task.cancelling() > self._cancelling and self._again < _AGAIN_MAX:
            self._again += 1
            get_running_loop().call_later(_AGAIN_S, self.expire, context=contextvars.Context())
            return
        self._expired = True
        self._task.cancel()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._open is None:
            return
        self._open.ends.pop(self, None)
        self._open = None
        # If somebody else cancels the task as well, it stays cancelled.
        if self._expired and self._task.uncancel() <= self._cancelling and isinstance(error, asyncio.CancelledError):
            raise NetworkTimeout(f"no answer within {self._timeout_s} s (the repository's timeout_s)") from None
