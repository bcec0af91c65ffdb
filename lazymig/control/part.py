"""The base of every part of a control collection."""

from __future__ import annotations

from lazymig.loop.clock import Clock
from lazymig.stores.rows import Rows

#: The kind of pass whose rows name no kind: there was no other when the first rows were written.
UNNAMED_KIND = "sweep"


class Part:
    """The rows of a control collection, and the clock by which they are dated."""

    def __init__(self, rows: Rows, clock: Clock) -> None:
        self._rows = rows
        self._clock = clock


def row_kind(what: str, kind: str) -> str:
    """The `kind` that rows carry which belong to passes of a kind: filters of one kind never find another's rows."""
    return what if kind == UNNAMED_KIND else f"{kind} {what}"
