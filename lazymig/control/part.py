"""The base of all parts of a control collection."""

from __future__ import annotations

from lazymig.loop.clock import Clock
from lazymig.stores.rows import Rows
from lazymig.stores.server_time import ServerTime

#: The kind of pass whose rows name no kind: the first releases had no other.
UNNAMED_KIND = "sweep"


class Part:
    """The rows of a control collection, and the clock for their dates."""

    def __init__(self, rows: Rows, clock: Clock) -> None:
        self._rows = rows
        self._clock = clock


class TimedPart:
    """The rows of one migration that people see in one order, which is that of the server's time."""

    def __init__(self, rows: Rows, time: ServerTime, migration: str) -> None:
        self._rows = rows
        self._time = time
        self._migration = migration


def make_row_kind(what: str, kind: str) -> str:
    """Return the `kind` of rows that belong to passes of this kind, so that no filter finds rows of another kind."""
    return what if kind == UNNAMED_KIND else f"{kind} {what}"
