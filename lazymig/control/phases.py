"""The phase of a migration: one row, which every process follows.

Each change of the row raises its epoch by one, by a compare-and-set. Processes acknowledge epochs, so that a step knows
when all of them work by the row as it is now.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Literal

from attrs import evolve, field, frozen

from lazymig.control.part import TimedPart
from lazymig.control.reading import Unreadable, Values, read_each
from lazymig.errors import PhaseError
from lazymig.phases import Phase
from lazymig.stores.record_changes import RecordChanges
from lazymig.stores.rows import Row, Rows
from lazymig.stores.server_time import ServerTime

#: How many moves the row keeps, and how many other changes.
_KEPT = 500
#: What processes are asked to hold: nothing, writes soon ("announced": look often), or writes now.
Hold = Literal["announced", "writes"]
_UNCHANGED: Mapping[str, object] = {}


@frozen
class Note:
    """Who changes what processes follow beside the phase, why, and what it is; all in words."""

    by: str
    why: str
    what: str


@frozen
class Moved:
    """One change of the phase, or of what processes follow beside it.

    Attributes:
        at: When, naive UTC by the clock of the process that made it.
        by: Who made it.
        why: The reason that was given.
        before: The phase before; None at the beginning.
        after: The phase since then.
        epoch: The epoch that began with it.
        what: What was changed beside the phase, which stayed; empty for a change of the phase.
    """

    at: datetime
    by: str
    why: str
    before: Phase | None
    after: Phase
    epoch: int
    what: str = ""


@frozen
class Standing:
    """Where a migration stands, as the control collection records it.

    Attributes:
        migration: The migration's name.
        phase: The phase of all processes that have acknowledged the epoch.
        epoch: The number of changes of this record.
        hold: What processes are asked to hold: None, "announced" or "writes".
        settings: What else all processes follow, by name.
        history: The changes of the phase, oldest first.
        changes: What people changed beside the phase, oldest first.
    """

    migration: str
    phase: Phase
    epoch: int
    hold: Hold | None
    settings: Mapping[str, object]
    history: tuple[Moved, ...] = field(repr=False)
    changes: tuple[Moved, ...] = field(default=(), repr=False)

    @property
    def last(self) -> Moved:
        """The last change of the phase."""
        return self.history[-1]


class Phases(TimedPart):
    """The phase of one migration. `Parts.phases` makes it."""

    def __init__(self, rows: Rows, time: ServerTime, migration: str) -> None:
        super().__init__(rows, time, migration)
        self._key = f"{migration}/phase"

    async def find(self) -> Standing | None:
        """Find where the migration stands; None where no phase was recorded. Raises `PhaseError` for an unknown one."""
        row = await self._rows.find_first({"_id": self._key})
        return None if row is None else _parse(row)

    async def find_newest(self) -> Standing | None:
        """Find where the migration stands as `find` does, and never by a primary that was replaced.

        By a write, which only the present primary can make durable. A process needs it once it has registered.
        """
        row = await self._rows.change_and_find({"_id": self._key}, {"$inc": {"joined": 1}})
        return None if row is None else _parse(row)

    def changes(self) -> RecordChanges:
        """Return the change stream of the record. Nothing is sent."""
        return self._rows.changes_of(self._key)

    async def begin(self, phase: Phase, *, by: str, why: str) -> Standing | None:
        """Record the first phase, durably. None: one is recorded already; nothing was changed."""
        moved = Moved(await self._time.now(), by, why, None, phase, 1)
        row = {
            "kind": "phase", "migration": self._migration, "phase": str(phase), "epoch": 1, "hold": None,
            "settings": {}, "history": [_make_row(moved)],
        }  # fmt: skip
        claimed = await self._rows.claim({"_id": self._key, "epoch": 0}, {"$set": row})
        return None if claimed is None else _parse(claimed)

    async def move(
        self, standing: Standing, to: Phase, *, by: str, why: str, settings: Mapping[str, object] = _UNCHANGED
    ) -> Standing | None:
        """Record another phase, durably, and end the hold. None: the record has changed; nothing was done."""
        epoch = standing.epoch + 1
        moved = Moved(await self._time.now(), by, why, standing.phase, to, epoch)
        kept = {**standing.settings, **settings}
        fields = {"phase": str(to), "hold": None, "settings": kept}
        made = evolve(standing, phase=to, epoch=epoch, hold=None, settings=kept, history=(*standing.history, moved))
        pushed = {"history": {"$each": [_make_row(moved)], "$slice": -_KEPT}}
        return made if await self._change(standing, fields, {"$push": pushed}) else None

    async def change(
        self,
        standing: Standing,
        *,
        hold: Hold | None = None,
        settings: Mapping[str, object] = _UNCHANGED,
        note: Note | None = None,
    ) -> Standing | None:
        """Record what processes hold and other settings, durably; settings that are not named stay.

        With a note the record keeps who did it and why. None: the record has changed; nothing was done.
        """
        made = evolve(standing, epoch=standing.epoch + 1, hold=hold, settings={**standing.settings, **settings})
        fields = {"hold": hold, "settings": made.settings}
        if note is None:
            return made if await self._change(standing, fields, {}) else None
        phase, at = standing.phase, await self._time.now()
        changed = Moved(at, note.by, note.why, phase, phase, made.epoch, note.what)
        pushed = {"changes": {"$each": [_make_row(changed)], "$slice": -_KEPT}}
        made = evolve(made, changes=(*standing.changes, changed))
        return made if await self._change(standing, fields, {"$push": pushed}) else None

    async def _change(self, standing: Standing, fields: Row, others: Row) -> bool:
        change = {"$set": {**fields, "epoch": standing.epoch + 1}, **others}
        return await self._rows.change({"_id": self._key, "epoch": standing.epoch}, change)


def _make_row(moved: Moved) -> dict[str, object]:
    before = None if moved.before is None else str(moved.before)
    return {
        "at": moved.at, "by": moved.by, "why": moved.why, "before": before, "after": str(moved.after),
        "epoch": moved.epoch, **({"what": moved.what} if moved.what else {}),
    }  # fmt: skip


def _parse(row: Row) -> Standing:
    """Return the record. Raises `PhaseError` where it does not say in which phase everybody is, and since when."""
    of = Values(row)
    try:
        phase = _parse_phase(of.need_text("phase"))
        last = _read_moved(of.parts("history")[-1]) if of.parts("history") else None
        return Standing(
            of.need_text("migration"),
            phase,
            of.need_count("epoch"),
            _read_hold(of),
            _read_settings(of),
            (*_read_moves(of, "history")[:-1], _need_last(last)),
            _read_moves(of, "changes"),
        )
    except Unreadable as error:
        raise PhaseError(
            f"the control collection's record of the phase cannot be read (field {error.name}): somebody has changed "
            "it; restore the row from a backup"
        ) from None


def _need_last(last: Moved | None) -> Moved:
    if last is None:
        raise Unreadable("history")
    return last


def _read_hold(row: Values) -> Hold | None:
    hold = row.any("hold")
    # A hold that somebody removed is not over: only lazymig ends one, and writes null then.
    if row.is_there("hold") and (hold is None or hold == "announced" or hold == "writes"):
        return hold
    raise Unreadable("hold")


def _read_settings(row: Values) -> Mapping[str, object]:
    settings = row.any("settings")
    if not isinstance(settings, Mapping):
        raise Unreadable("settings")
    return settings


def _read_moves(row: Values, name: str) -> tuple[Moved, ...]:
    """Return the changes that can be read."""
    return tuple(read_each("a change of the phase", row.raw_parts(name), _read_moved))


def _read_moved(one: Values) -> Moved:
    after = _find_phase(one.need_text("after"))
    if after is None:
        raise Unreadable("after")
    return Moved(
        one.need_moment("at"), one.text("by"), one.text("why"), _find_phase(one.text("before")), after,
        one.need_count("epoch"), one.text("what"),
    )  # fmt: skip


def _find_phase(text: str) -> Phase | None:
    return Phase(text) if text in list(Phase) else None


def _parse_phase(text: str) -> Phase:
    phase = _find_phase(text)
    if phase is None:
        raise PhaseError(f"the control collection records the phase {text!r}, which this release does not know")
    return phase
