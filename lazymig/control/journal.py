"""What people ordered on the page, in the control collection: who, when, what, and how it ended. One row per migration.

An act is entered before it does anything, by the identity of the form that ordered it: a form that arrives twice, at
any process, is found out there. An act without an end is under way while its process reports of it; else it was cut
off.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from attrs import frozen

from lazymig.control.part import TimedPart
from lazymig.control.reading import Values, read_each
from lazymig.stores.rows import Row, Rows
from lazymig.stores.server_time import ServerTime

#: How many acts the row keeps, and of how many bytes each of an act's texts may be. The row stays far below the 16 MB
#: of a document, whatever people write: nothing could be ordered any more otherwise.
KEPT, TEXT = 500, 1000
#: Lines that the row keeps of an act, and of how many bytes each may be.
_LINES, _LINE = 20, 300
#: An act of which nothing was heard for longer was cut off. Clocks of two servers may differ.
_SILENT: Final = timedelta(seconds=30)


@frozen
class Act:
    """One thing that a person ordered.

    Attributes:
        at: When, naive UTC by the server of the control collection.
        by: Who ordered it.
        action: What it is called, such as "advance".
        what: What it was about, in words: ids and reasons, and nothing of the documents.
        outcome: How it ended, in words; empty while it is under way.
        good: Whether it did what was ordered.
        ended_at: When it ended; None while it is under way.
        form: What identifies the form that ordered it; empty where there was none.
        lines: What was waited for, in words, the newest last.
        seen_at: When its process reported of it last; None where it did not yet.
    """

    at: datetime
    by: str
    action: str
    what: str
    outcome: str = ""
    good: bool = False
    ended_at: datetime | None = None
    form: str = ""
    lines: tuple[str, ...] = ()
    seen_at: datetime | None = None

    @property
    def began_at(self) -> datetime:
        """When it began."""
        return self.at

    def is_under_way(self, now: datetime) -> bool:
        """Whether it has not ended, and its process was heard of lately."""
        return self.ended_at is None and abs(now - (self.seen_at or self.at)) < _SILENT


class Journal(TimedPart):
    """The acts of one migration. `Parts.journal` makes it."""

    def __init__(self, rows: Rows, time: ServerTime, migration: str) -> None:
        super().__init__(rows, time, migration)
        self._key = f"{migration}/journal"

    async def add(self, act: Act) -> bool:
        """Enter an act, durably. False: an act of this form is entered already; nothing was changed."""
        pushed = {"acts": {"$each": [_make_row(act)], "$slice": -KEPT}}
        change = {"$set": {"kind": "journal", "migration": self._migration}, "$push": pushed}
        where: dict[str, object] = {"_id": self._key}
        if act.form:
            where["acts.form"] = {"$ne": act.form}
        # Twice: where two acts make the row at one time, the server refuses the later one whatever its form is.
        return await self._rows.put(where, change) or await self._rows.put(where, change)

    async def report(self, form: str, lines: Sequence[str]) -> bool:
        """Enter that the act of this form is under way, and what it waits for. False: there is no such act."""
        return await self._change(form, {"lines": _cut_lines(lines), "seen_at": await self._time.now()})

    async def end(self, form: str, outcome: str, *, good: bool, lines: Sequence[str] = ()) -> bool:
        """Enter how the act of this form ended. False: there is no such act without an end."""
        ended = {"outcome": _cut(outcome), "good": good, "ended_at": await self._time.now(), "lines": _cut_lines(lines)}
        return await self._change(form, ended)

    async def _change(self, form: str, changed: Mapping[str, object]) -> bool:
        """Change the act of this form, unless it has ended."""
        where = {"_id": self._key, "acts": {"$elemMatch": {"form": form, "ended_at": None}}}
        return await self._rows.change(where, {"$set": {f"acts.$.{name}": value for name, value in changed.items()}})

    async def find(self, form: str) -> Act | None:
        """Find the act of this form; None where there is none, or where many others came since."""
        row = await self._rows.find_first({"_id": self._key, "acts.form": form})
        return next((one for one in _read_all(row) if one.form == form), None)

    async def find_last(self, limit: int) -> list[Act]:
        """Find the last acts, newest first."""
        row = await self._rows.find_tail({"_id": self._key}, "acts", limit)
        return _read_all(row)[::-1]


def _make_row(act: Act) -> dict[str, object]:
    return {
        "at": act.at, "by": _cut(act.by), "action": act.action, "what": _cut(act.what),
        "outcome": _cut(act.outcome), "good": act.good, "ended_at": act.ended_at, "form": act.form,
        "lines": _cut_lines(act.lines), "seen_at": act.seen_at,
    }  # fmt: skip


def _cut_lines(lines: Sequence[str]) -> list[str]:
    return [_cut(line, _LINE) for line in lines[-_LINES:]]


def _cut(text: str, size: int = TEXT) -> str:
    """Return as much of a text as this many bytes hold."""
    return text.encode(errors="replace")[:size].decode(errors="ignore")


def _read_all(row: Row | None) -> list[Act]:
    """Return the acts of the row, oldest first; what cannot be read is left out."""
    acts = None if row is None else row.get("acts")
    return read_each("an act of the page", acts if isinstance(acts, list) else (), _read)


def _read(one: Values) -> Act:
    return Act(
        one.need_moment("at"), one.need_text("by"), one.need_text("action"), one.text("what"), one.text("outcome"),
        one.flag("good"), one.find_moment("ended_at"), one.text("form"), one.texts("lines"),
        one.find_moment("seen_at"),
    )  # fmt: skip
