"""What the dark reads of all processes found while the cut-over is gradual, by group: one row per process."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Final, Literal, TypeAlias

from attrs import define, field, frozen

from lazymig.control.cut_over import CutOver
from lazymig.control.part import Part
from lazymig.control.reading import Unreadable, Values, is_number, read_each
from lazymig.histogram import Histogram
from lazymig.loop.clock import Clock
from lazymig.stores.rows import Rows

SideName: TypeAlias = Literal["v1", "v2"]
SIDES: Final[tuple[SideName, SideName]] = ("v1", "v2")
#: Rows of processes that have not been heard of for longer are removed.
_KEPT: Final = timedelta(days=7)


@define
class SideFigures:
    """How one side answered the reads of a group that were compared, as the caller's answer or behind it.

    Attributes:
        asked: The reads of entities.
        failed: Those that ended in an error or took too long.
        latency: How long reads of single entities took.
    """

    asked: int = 0
    failed: int = 0
    latency: Histogram = field(factory=Histogram)

    @property
    def error_rate(self) -> float | None:
        """The part of the reads that failed; None before the first read."""
        return self.failed / self.asked if self.asked else None


@define
class GroupFigures:
    """What dark reads found of the entities of one group: a cohort, the share, or the rest.

    Attributes:
        counts: The reads that were compared, by what was found: matched, mismatched, moved and missing.
        v1: V1's side.
        v2: V2's side.
    """

    counts: Counter[str] = field(factory=Counter)
    v1: SideFigures = field(factory=SideFigures)
    v2: SideFigures = field(factory=SideFigures)

    def side(self, name: SideName) -> SideFigures:
        """Return one side's figures."""
        return self.v1 if name == "v1" else self.v2

    @property
    def consistency(self) -> float | None:
        """The share of comparisons at one revision that found both sides equal; None before the first one."""
        compared = self.counts["matched"] + self.counts["mismatched"]
        return self.counts["matched"] / compared if compared else None

    def add(self, other: GroupFigures) -> None:
        """Add another process's figures."""
        self.counts += other.counts
        for name in SIDES:
            mine, others = self.side(name), other.side(name)
            mine.asked += others.asked
            mine.failed += others.failed
            mine.latency.add(others.latency)


@frozen
class FiguresRecord:
    """What one process found under one cut-over.

    Attributes:
        key: What identifies the process.
        name: Host and process id.
        cut_over: The cut-over by which it chose.
        undeclared: The cohorts that are switched on and that this process does not know.
        groups: The figures by group.
        seen_at: When it last wrote them, naive UTC by its own clock.
    """

    key: str
    name: str
    cut_over: CutOver
    undeclared: tuple[str, ...]
    groups: Mapping[str, GroupFigures]
    seen_at: datetime


class FiguresRows(Part):
    """The figures of one migration's processes. `Parts.figures` makes it."""

    def __init__(self, rows: Rows, clock: Clock, migration: str) -> None:
        super().__init__(rows, clock)
        self._migration = migration

    async def record(self, record: FiguresRecord) -> None:
        """Record a process's figures in place of its earlier ones, and remove those of processes long gone."""
        await self._rows.put({"_id": f"{self._migration}/figures/{record.key}"}, {"$set": self._make_row(record)})
        await self._rows.remove({**self._all, "seen_at": {"$lt": record.seen_at - _KEPT}})

    async def find(self, cut_over: CutOver) -> list[FiguresRecord]:
        """Find what processes found under this cut-over, by their names."""
        rows = await self._rows.find_all(self._all, sort=[("name", 1), ("_id", 1)])
        # Whose dark reads are many makes no other choice.
        records = read_each("the figures of a process", rows, _read)
        return [one for one in records if _chooses_as(one.cut_over, cut_over)]

    @property
    def _all(self) -> dict[str, object]:
        return {"kind": "figures", "migration": self._migration}

    def _make_row(self, record: FiguresRecord) -> dict[str, object]:
        return {
            **self._all, "key": record.key, "name": record.name, "share": record.cut_over.share,
            "cohorts": list(record.cut_over.cohorts), "undeclared": list(record.undeclared),
            "groups": [_make_group(name, group) for name, group in record.groups.items()], "seen_at": record.seen_at,
        }  # fmt: skip


def sum_up(records: Iterable[FiguresRecord]) -> dict[str, GroupFigures]:
    """Return the figures of all processes together, by group."""
    summed: dict[str, GroupFigures] = {}
    for record in records:
        for name, group in record.groups.items():
            summed.setdefault(name, GroupFigures()).add(group)
    return summed


def _chooses_as(one: CutOver, other: CutOver) -> bool:
    return (one.share, one.cohorts) == (other.share, other.cohorts)


def _make_group(name: str, group: GroupFigures) -> dict[str, object]:
    return {
        "group": name, "counts": dict(group.counts),
        **{side: _make_side(group.side(side)) for side in SIDES},
    }  # fmt: skip


def _make_side(side: SideFigures) -> dict[str, object]:
    return {"asked": side.asked, "failed": side.failed, "latency": side.latency.pack()}


def _read(row: Values) -> FiguresRecord:
    groups = {one.need_text("group"): _read_group(one) for one in row.parts("groups")}
    cut_over = CutOver(row.need_number("share"), row.texts("cohorts"))
    return FiguresRecord(
        row.need_text("key"), row.need_text("name"), cut_over, row.texts("undeclared"), groups,
        row.need_moment("seen_at"),
    )  # fmt: skip


def _read_group(one: Values) -> GroupFigures:
    return GroupFigures(Counter(one.counts("counts")), _read_side(one.part("v1")), _read_side(one.part("v2")))


def _read_side(side: Values) -> SideFigures:
    return SideFigures(side.need_count("asked"), side.need_count("failed"), _read_latency(side.any("latency")))


def _read_latency(packed: object) -> Histogram:
    """Return the histogram: the sum alone, and pairs of a bucket's number and its count."""
    rows = packed if isinstance(packed, list) else []
    whole = all(isinstance(row, list) and all(map(is_number, row)) for row in rows)
    if not rows or not whole or len(rows[0]) != 1 or not all(len(row) == 2 for row in rows[1:]):
        raise Unreadable("latency")
    return Histogram.unpack(rows)
