"""The history of runs: what each process did and when, and whether it saw the end of its pass."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from attrs import field, frozen

from lazymig.control.part import UNNAMED_KIND, Part, make_row_kind
from lazymig.control.reading import Values, read_each


@frozen
class RunRecord:
    """One run of one process, finished or stopped.

    Attributes:
        migration: The migration's name.
        started_at: When it began, naive UTC by the process's clock.
        ended_at: When it ended.
        finished: Whether the process saw the end of its pass.
        counts: What it did, by the names of `SweepReport`'s counts.
        pass_began_at: When its pass began, which may have been before the run, or by another process; None where that
            was not recorded.
        revision: The conversion revision that it ran with; None where that was not recorded.
        remarks: Of a verification: what its sample says about all entities, and what it did not compare, in words.
    """

    migration: str
    started_at: datetime
    ended_at: datetime
    finished: bool
    counts: Mapping[str, int] = field(factory=dict)
    pass_began_at: datetime | None = None
    revision: int | None = None
    remarks: tuple[str, ...] = ()


class Runs(Part):
    """The history of runs in a control collection."""

    async def record(self, run: RunRecord, *, kind: str = UNNAMED_KIND) -> None:
        """Store what one run of one process did in a pass of this kind."""
        row = {
            "kind": make_row_kind("run", kind), "migration": run.migration, "started_at": run.started_at,
            "ended_at": run.ended_at, "finished": run.finished, "counts": dict(run.counts),
            "pass_began_at": run.pass_began_at, "revision": run.revision, "remarks": list(run.remarks),
        }  # fmt: skip
        await self._rows.add(row)

    async def find_last(self, migration: str, limit: int, *, kind: str = UNNAMED_KIND) -> list[RunRecord]:
        """Find the last runs in passes of this kind, newest first."""
        where = {"kind": make_row_kind("run", kind), "migration": migration}
        rows = await self._rows.find_page(where, limit, sort=[("started_at", -1)])
        return read_each(f"a run of a {kind}", rows, lambda row: _read(migration, row))


def _read(migration: str, row: Values) -> RunRecord:
    return RunRecord(
        migration, row.need_moment("started_at"), row.need_moment("ended_at"), row.flag("finished"),
        row.counts("counts"), row.find_moment("pass_began_at"), row.find_count("revision"), row.texts("remarks"),
    )  # fmt: skip
