"""The history of runs: what each process did, when, and whether it saw the end."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from attrs import field, frozen

from lazymig.control.part import UNNAMED_KIND, Part, row_kind


@frozen
class RunRecord:
    """One finished or stopped run of one process."""

    migration: str
    started_at: datetime
    ended_at: datetime
    finished: bool
    counts: Mapping[str, int] = field(factory=dict)


class Runs(Part):
    """The part of a control collection that holds the history of runs."""

    async def record_run(self, run: RunRecord, *, kind: str = UNNAMED_KIND) -> None:
        """Keep what one run of one process did, in a pass of this kind."""
        row = {
            "kind": row_kind("run", kind), "migration": run.migration, "started_at": run.started_at,
            "ended_at": run.ended_at, "finished": run.finished, "counts": dict(run.counts),
        }  # fmt: skip
        await self._rows.add(row)

    async def history(self, migration: str, limit: int = 20, *, kind: str = UNNAMED_KIND) -> list[RunRecord]:
        """The last runs in passes of this kind, newest first."""
        where = {"kind": row_kind("run", kind), "migration": migration}
        rows = await self._rows.find_page(where, limit, sort=[("started_at", -1)])
        return [
            RunRecord(migration, row["started_at"], row["ended_at"], row["finished"], row["counts"]) for row in rows
        ]
