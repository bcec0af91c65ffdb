"""What a retirement would remove, how much that is, and what it waits for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from attrs import frozen

from lazymig.control.retirement import RetirementRecord, RetirementStage
from lazymig.retiring.conditions import Condition
from lazymig.retiring.ground import BEFORE_THE_DROP, Ground, Work
from lazymig.retiring.leftovers import list_removable_code
from lazymig.stores.counts import Counts
from lazymig.stores.moving_away import Removable, Size
from lazymig.stores.reducing import Reducing

V1 = TypeVar("V1")
V2 = TypeVar("V2")


@frozen(kw_only=True)
class RetirementReport:
    """How far V1's retirement is.

    Attributes:
        migration: The migration's name.
        stage: "serving", "quarantined", "dropped", "reduced" or "retired".
        interrupted: The step that has begun and is not known to be done; "" where there is none. Run it again.
        next: The step that comes next; "" at the end.
        conditions: What must hold before V1 goes further; empty once it is gone.
        goes: What will go, in words, with counts and sizes.
        warnings: What else to know before the next step.
        code: What of the application's code may go, with file and line.
        archive: Where V1 is archived; "" where it is not.
        history: What was done, by whom and when, in words; oldest first.
        part: Whether only fields of V1's documents go.
        in_place: Whether one document carries both shapes. The only stages are "serving", "reduced" and "retired" then.
    """

    migration: str
    stage: str
    interrupted: str
    next: str
    conditions: tuple[Condition, ...]
    goes: tuple[str, ...]
    warnings: tuple[str, ...]
    code: tuple[str, ...]
    archive: str
    history: tuple[str, ...] = ()
    part: bool = False
    in_place: bool = False

    @property
    def blocked(self) -> bool:
        """Whether a condition of the next step does not hold."""
        return not all(one.holds for one in self.conditions)


async def make_report(
    ground: Ground[V1, V2], record: RetirementRecord, conditions: Sequence[Condition]
) -> RetirementReport:
    """Look at what is left. Changes nothing."""
    archive = record.archive
    return RetirementReport(
        migration=ground.name, stage=str(record.stage), interrupted=record.doing,
        next=record.find_next(part=ground.is_part), conditions=tuple(conditions),
        goes=tuple(await _list_what_goes(ground, record)), warnings=tuple(await _list_warnings(ground, record)),
        code=list_removable_code(ground.pair.conversions.migration),
        archive=archive.target if archive is not None and archive.digest is not None else "",
        history=tuple(await list_history(ground)), part=ground.is_part,
    )  # fmt: skip


async def list_history(ground: Work) -> list[str]:
    """Return what was done, in words, oldest first."""
    done = await ground.parts.retirement(ground.name).find_history()
    return [f"{at:%Y-%m-%d %H:%M:%S} UTC{f' by {by}' if by else ''}: {what}" for at, by, what in done]


async def _list_what_goes(ground: Ground[V1, V2], record: RetirementRecord) -> list[str]:
    goes: list[str] = []
    if record.stage in BEFORE_THE_DROP:
        here = ground.v1 if record.stage is RetirementStage.SERVING else ground.in_quarantine(record)
        if await here.identify() is not None:
            goes.append(
                await _describe_part(ground)
                if ground.is_part
                else f"V1, {here.place}: {_describe(await here.measure())}"
            )
    if record.stage not in (RetirementStage.REDUCED, RetirementStage.RETIRED):
        gone = await Reducing(ground.pair.bodies, ground.clock).count_gone()
        v2 = Removable(ground.pair.bodies)
        size = await v2.measure()
        goes.append(
            f"in V2, {v2.place}: {gone:,} tombstones, and of {size.documents - gone:,} documents what only the "
            "migration needed"
        )
    if record.stage is not RetirementStage.RETIRED:
        rows = await ground.parts.retirement(ground.name).count_others()
        goes.append(f"V2's fence, lazymig's indexes of V2, and {rows:,} rows of the control collection")
    return goes


async def _describe_part(ground: Ground[V1, V2]) -> str:
    held = await Counts(ground.pair.v1).count_all()
    return f"in V1, {ground.v1.place}: {ground.describe_fields()} and the revisions, in about {held:,} documents"


def _describe(size: Size) -> str:
    if not size.bytes:
        return f"about {size.documents:,} documents"
    return f"about {size.documents:,} documents, {size.bytes / 1e6:,.1f} MB on disk, indexes: {size.indexes:,}"


async def _list_warnings(ground: Ground[V1, V2], record: RetirementRecord) -> list[str]:
    if record.stage not in BEFORE_THE_DROP:
        return []
    v2 = Removable(ground.pair.bodies)
    missing = [] if await v2.identify() is not None else [f"V2, {v2.place}, does not exist; V1 alone has documents"]
    views = await ground.v1.find_views()
    loss = f"lacks {ground.describe_fields()}" if ground.is_part else "is empty from quarantine on"
    found = missing + [f"the view {view} reads V1 by its name, and {loss}" for view in views]
    here = ground.v1 if record.stage is RetirementStage.SERVING else ground.in_quarantine(record)
    expiring = [] if ground.is_part else await here.find_expiring()
    found += [
        f"the TTL index {name} of {here.place} still deletes documents: each counts as a stray delete, and makes an "
        "archive differ; drop that index to keep them"
        for name in expiring
    ]
    waived = await ground.parts.letters.count_waived(ground.name)
    if waived:
        found.append(f"{waived:,} entities whose dead letters were waived are in V1 alone, and go with it")
    left = (await Counts(ground.pair.bodies).count_marked()).left
    if left:
        found.append(f"{left:,} entities that upgrade leaves in V1 (LEAVE) go with it")
    last = record.stage is RetirementStage.QUARANTINED or ground.is_part
    if last and (record.archive is None or record.archive.digest is None):
        found.append("V1 is not archived; lazymig retire archive does that")
    return found
