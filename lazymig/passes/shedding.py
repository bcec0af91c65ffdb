"""Shedding load: the statements of a pass wait and try again where the server reports overload.

Drivers label such errors. Their own retries, of which there are two by default, come first. A client's statements raise
the error then, since a user waits for them. A pass can wait, so it does:

    pair = throttle.shedding.pair(pair)

After that, each statement by `pair` is patient, and the throttle makes the whole pass slow for a while.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import TypeVar, cast

from attrs import evolve
from pymongo.errors import PyMongoError

from lazymig.control import Control, control_over, parts_of
from lazymig.loop.clock import Clock
from lazymig.passes.gate import Gate
from lazymig.protocol.in_place.place import Place
from lazymig.protocol.pair import Pair

T = TypeVar("T")
V1 = TypeVar("V1")
V2 = TypeVar("V2")

#: The labels of errors that another try can answer. With the second, the server did nothing. Without it, the statement
#: may have been done, which a pass allows for: its steps are guarded, and it may be killed between any two.
OVERLOADED, RETRYABLE = "SystemOverloadedError", "RetryableError"
#: What the methods of stores that only read begin with.
_READING = ("confirm_", "count", "find", "has_", "marks", "open_marks", "page", "sample", "stale", "unmoved")
#: Seconds before another try: at first, and at most. They double each time.
_TRY_AFTER_S, _TRY_AFTER_MAX_S = 0.25, 10.0
#: A statement that is refused for this many seconds ends the pass; once the pass is to stop, it has less time.
GIVE_UP_S, _GIVE_UP_STOPPING_S = 900.0, 10.0
#: The pause before each page: at the first overload, and at most. It doubles with each further one.
_PAUSE_S, _PAUSE_MAX_S = 0.1, 5.0
#: The part of the pause that is left after each page without overload, and the pause that is none any more.
_EASED, _NO_PAUSE_S = 0.9, 0.01


def is_overload(error: PyMongoError) -> bool:
    """Whether the server, or the driver for it, reports overload."""
    return error.has_error_label(OVERLOADED) or error.has_error_label(RETRYABLE)


class Shedding:
    """The patience of one pass. It grows quickly with each overload, and goes slowly.

    `on_overload` is called at each error, with nothing sent meanwhile.
    """

    def __init__(self, stopping: Callable[[], bool], clock: Clock, on_overload: Callable[[], None]) -> None:
        self._stopping = stopping
        self._clock = clock
        self._on_overload = on_overload
        #: Seconds to wait before each page; 0 once the last overload is long past.
        self.pause_s = 0.0
        #: What statements on the collections pass through; None: as many as there are may be on the way. Statements
        #: that only keep the pass's own records do not count.
        self.gate: Gate | None = None
        self._noted = False

    def note_overload(self) -> None:
        """Make the pass slower, because the server reported overload. `call` does so by itself."""
        self._noted = True
        self.pause_s = min(max(self.pause_s * 2, _PAUSE_S), _PAUSE_MAX_S)
        self._on_overload()

    async def wait_for_page(self) -> None:
        """Wait before a page for as long as the last overload demands, and less after each page without one."""
        if not self._noted:
            self.pause_s = self.pause_s * _EASED if self.pause_s > _NO_PAUSE_S else 0.0
        self._noted = False
        if self.pause_s:
            await self._sleep(self.pause_s)

    async def call(self, statement: Callable[..., Awaitable[T]], *args: object, **keywords: object) -> T:
        """Return the answer of a statement; while the server reports overload, wait and try again.

        Raises the error of a server that reports overload for a quarter of an hour. Other errors pass through.
        """
        began_s, delay_s = self._clock.monotonic(), _TRY_AFTER_S
        while True:
            try:
                return await statement(*args, **keywords)
            except PyMongoError as error:
                if not is_overload(error):
                    raise
                self.note_overload()
                patience_s = _GIVE_UP_STOPPING_S if self._stopping() else GIVE_UP_S
                if self._clock.monotonic() - began_s + delay_s > patience_s:
                    raise
            await self._sleep(delay_s)
            delay_s = min(delay_s * 2, _TRY_AFTER_MAX_S)

    async def _sleep(self, about_s: float) -> None:
        # Processes that met the same overload must not all come back at the same moment.
        await self._clock.sleep(about_s * (0.5 + self._clock.random()))

    def around(self, store: T) -> T:
        """Return a store whose async methods are patient: each is one statement, or a step that may be repeated."""
        return cast("T", _Patient(store, self))

    def around_records(self, rows: T) -> T:
        """Return rows of the control collection whose methods are patient. What they ask does not count as a load."""
        return cast("T", _Patient(rows, self, gated=False))

    def pair(self, pair: Pair[V1, V2]) -> Pair[V1, V2]:
        """Return the pair with patient stores. The given one stays as it is: clients use it."""
        v1, ledger, bodies = self.around(pair.v1), self.around(pair.ledger), self.around(pair.bodies)
        return evolve(pair, v1=v1, ledger=ledger, bodies=bodies)

    def place(self, place: Place[V1, V2]) -> Place[V1, V2]:
        """Return the place with a patient store. The given one stays as it is: clients use it."""
        return evolve(place, store=self.around(place.store))

    def control(self, control: Control) -> Control:
        """Return the control collection with patient rows."""
        return control_over(control, self.around_records(parts_of(control).rows))


class _Patient:
    """A store with the patience of a pass. All that is no async method is the store's own."""

    def __init__(self, store: object, shedding: Shedding, *, gated: bool = True) -> None:
        self._store = store
        self._shedding = shedding
        self._gated = gated

    def __getattr__(self, name: str) -> object:
        found = getattr(self._store, name)
        if not inspect.iscoroutinefunction(found):
            return found
        shedding, gated = self._shedding, self._gated

        async def patient(*args: object, **keywords: object) -> object:
            if not gated or shedding.gate is None:
                return await shedding.call(found, *args, **keywords)
            async with shedding.gate.passing(reads=name.startswith(_READING)):
                return await shedding.call(found, *args, **keywords)

        return patient


def as_patient_as(store: object, other: T) -> T:
    """Return `other`, which asks about the same collection as the store, with the store's patience, if it has any."""
    return store._shedding.around(other) if isinstance(store, _Patient) else other
