"""The record of V1's retirement: which step is done, and which one has begun. One row per migration.

A step is recorded before it changes anything, and again once it is done. So a run that is killed between the two leaves
a row that says what to look at, and the next run goes on from there. Every change is a compare-and-set.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping
from datetime import datetime

from attrs import evolve, frozen

from lazymig.control.part import Part
from lazymig.control.reading import Values, is_count, is_moment, is_text, read_each
from lazymig.errors import LazymigError, PhaseError
from lazymig.loop.clock import Clock
from lazymig.stores.archives import Digest
from lazymig.stores.given import RawId
from lazymig.stores.rows import Row, Rows

#: How many entries of the history the row keeps.
_KEPT = 100


class RetirementStage(enum.StrEnum):
    """How far V1's retirement is."""

    #: V1 is where it was.
    SERVING = "serving"
    #: V1 has another name.
    QUARANTINED = "quarantined"
    #: V1 is gone.
    DROPPED = "dropped"
    #: V2's documents hold what optimistic locking needs, and nothing else.
    REDUCED = "reduced"
    #: Fences, indexes and control rows are gone too.
    RETIRED = "retired"


#: The step after each stage but the first.
_NEXT = {
    RetirementStage.QUARANTINED: "drop",
    RetirementStage.DROPPED: "reduce",
    RetirementStage.REDUCED: "finish",
    RetirementStage.RETIRED: "",
}


@frozen
class Archive:
    """Where V1's documents were copied to, and what identifies them.

    Attributes:
        kind: "collection" or "file".
        target: Database and collection, or the file's path.
        digest: Number and checksum; None until the copy has been verified.
    """

    kind: str
    target: str
    digest: Digest | None = None


@frozen(kw_only=True)
class RetirementRecord:
    """How far V1's retirement is, as the control collection records it."""

    stage: RetirementStage = RetirementStage.SERVING
    #: The step that has begun and is not known to be done; "" where there is none.
    doing: str = ""
    version: int = 0
    #: V1's name in its database, and the server's identity of the collection; None where it did not exist.
    v1: str = ""
    identity: str | None = None
    #: The name in quarantine.
    quarantine: str = ""
    #: When the stage began, naive UTC.
    since: datetime | None = None
    archive: Archive | None = None
    #: The last id up to which V2's documents are reduced, alone; empty before the first.
    position: tuple[RawId, ...] = ()
    #: Whether `_lazymig` was taken out of V2's documents as a whole.
    stripped: bool = False
    #: Documents that this pass could not reduce.
    failed: int = 0

    def find_next(self, *, part: bool = False, in_place: bool = False) -> str:
        """Return the step that comes next, or that has begun; "" at the end.

        A `part` of documents has no quarantine; where V1's fields are `in_place` beside V2's, nothing is dropped.
        """
        first = "reduce" if in_place else "drop" if part else "quarantine"
        return self.doing or (first if self.stage is RetirementStage.SERVING else _NEXT[self.stage])


class OvertakenError(LazymigError):
    """Another process has changed the retirement meanwhile; look at it by `lazymig retire show`, then go on."""


class Retirements(Part):
    """The record of one migration's retirement. `Parts.retirement` makes it."""

    def __init__(self, rows: Rows, clock: Clock, migration: str) -> None:
        super().__init__(rows, clock)
        self._key = f"{migration}/retirement"
        self._migration = migration

    async def find(self) -> RetirementRecord:
        """Find the record; one of V1 in service where there is none. Raises `PhaseError` where it cannot be read."""
        row = await self._rows.find_first({"_id": self._key})
        try:
            return RetirementRecord() if row is None else _parse(row)
        except (LookupError, TypeError, ValueError):
            raise PhaseError(
                f"the control collection's row {self._key} cannot be read: somebody has changed it; restore it from a "
                "backup"
            ) from None

    async def save(self, before: RetirementRecord, after: RetirementRecord, *, by: str, what: str) -> RetirementRecord:
        """Replace the record as it was found, durably; return the new one. Raises `OvertakenError` if it has changed.

        With `what`, the history says so.
        """
        made = evolve(after, version=before.version + 1)
        change: dict[str, object] = {"$set": {"kind": "retirement", "migration": self._migration, **_make_row(made)}}
        if what:
            entry = {"at": self._clock.now(), "by": by, "what": what}
            change["$push"] = {"history": {"$each": [entry], "$slice": -_KEPT}}
        where = {"_id": self._key, "version": before.version}
        if before.version:
            done = await self._rows.change(where, change)
        else:
            done = await self._rows.put(where, change)
        if not done:
            raise OvertakenError
        return made

    async def find_history(self) -> list[tuple[datetime, str, str]]:
        """Find what was done: when, by whom and what, oldest first."""
        row = await self._rows.find_first({"_id": self._key})
        entries = Values(row).raw_parts("history")
        return read_each(
            "a step of a retirement", entries, lambda one: (one.need_moment("at"), one.text("by"), one.text("what"))
        )

    async def remove_others(self) -> int:
        """Remove every row but its phase, its processes, this record and the journal; return how many.

        Those are kept by their ids, whatever somebody has made of their other values: without the phase, the next
        process would not know that V1 is gone.
        """
        return await self._rows.remove(self._find_others())

    async def count_others(self) -> int:
        """Count these rows, but for those of samples, which say only for how long it was looked at."""
        return await self._rows.count({**self._find_others(), "kind": {"$ne": "samples"}})

    def _find_others(self) -> dict[str, object]:
        kept = [f"{self._migration}/{name}" for name in ("phase", "retirement", "journal")]
        members = {"_id": {"$regex": f"^{re.escape(self._migration)}/member/"}}
        return {"migration": self._migration, "_id": {"$nin": kept}, "$nor": [members]}


def _make_row(record: RetirementRecord) -> dict[str, object]:
    archive = record.archive
    stored: Mapping[str, object] | None = None
    if archive is not None:
        digest = archive.digest
        stored = {
            "kind": archive.kind, "target": archive.target,
            "digest": None if digest is None else {"count": digest.count, "checksum": digest.checksum},
        }  # fmt: skip
    return {
        "stage": str(record.stage), "doing": record.doing, "version": record.version, "v1": record.v1,
        "identity": record.identity, "quarantine": record.quarantine, "since": record.since, "archive": stored,
        "position": list(record.position), "stripped": record.stripped,
        "failed": record.failed,
    }  # fmt: skip


def _parse(row: Row) -> RetirementRecord:
    texts = (row["doing"], row["v1"], row["quarantine"])
    since, version = row["since"], row["version"]
    if not all(map(is_text, texts)) or not is_count(version) or not (since is None or is_moment(since)):
        raise ValueError
    return RetirementRecord(
        stage=RetirementStage(row["stage"]), doing=row["doing"], version=row["version"], v1=row["v1"],
        identity=row["identity"], quarantine=row["quarantine"], since=row["since"],
        archive=_parse_archive(row["archive"]), position=tuple(row["position"]), stripped=row["stripped"],
        failed=row.get("failed", 0),
    )  # fmt: skip


def _parse_archive(stored: Row | None) -> Archive | None:
    if stored is None:
        return None
    digest = stored["digest"]
    return Archive(
        stored["kind"], stored["target"], None if digest is None else Digest(digest["count"], digest["checksum"])
    )
