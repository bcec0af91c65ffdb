"""What the end of V1's part would remove, how much that is, and what to know before."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from lazymig.control.retirement import RetirementRecord, RetirementStage
from lazymig.retiring.conditions import Condition
from lazymig.retiring.in_place.ground import PlaceGround, list_v1_names
from lazymig.retiring.leftovers import list_removable_code
from lazymig.retiring.report import RetirementReport, list_history
from lazymig.stores.whole_counts import count_wholes
from lazymig.stores.whole_reducing import WholeReducing

V1 = TypeVar("V1")
V2 = TypeVar("V2")

#: Names of fields that are shown.
_NAMED = 8


async def make_report(
    ground: PlaceGround[V1, V2], record: RetirementRecord, conditions: Sequence[Condition]
) -> RetirementReport:
    """Look at what is left. Changes nothing."""
    archive = record.archive
    return RetirementReport(
        migration=ground.name, stage=str(record.stage), interrupted=record.doing, next=record.find_next(in_place=True),
        conditions=tuple(conditions), goes=tuple(await _list_what_goes(ground, record)),
        warnings=tuple(await _list_warnings(ground, record)),
        code=list_removable_code(ground.place.conversions.migration, in_place=True),
        archive=archive.target if archive is not None and archive.digest is not None else "",
        history=tuple(await list_history(ground)), in_place=True,
    )  # fmt: skip


async def _list_what_goes(ground: PlaceGround[V1, V2], record: RetirementRecord) -> list[str]:
    goes: list[str] = []
    if record.stage is RetirementStage.SERVING:
        names, place = list_v1_names(ground.shape), ground.whole.place
        if names is None:
            goes.append(f"in {place}: of each document all fields that are not V2's")
        else:
            count = await WholeReducing(ground.place.store).count_with(names)
            more = f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else ""
            goes.append(f"in {place}: V1's own fields ({', '.join(names[:_NAMED])}{more}) of {count:,} documents")
        goes.append("of _lazymig, what only the migration needed")
        if ground.shape.within is not None:
            goes.append(f"the sub-document {ground.shape.within}: V2's fields move to the top of each document")
    if record.stage is not RetirementStage.RETIRED:
        rows = await ground.parts.retirement(ground.name).count_others()
        goes.append(f"lazymig's indexes of the collection, and {rows:,} rows of the control collection")
    return goes


async def _list_warnings(ground: PlaceGround[V1, V2], record: RetirementRecord) -> list[str]:
    if record.stage is not RetirementStage.SERVING:
        return []
    found: list[str] = []
    names = list_v1_names(ground.shape)
    if names is None:
        found.append("V1's converter does not reveal its names, so fields that no class knows count as V1's, and go")
    for index, described in await WholeReducing(ground.place.store).find_indexes():
        paths = [str(path).partition(".")[0] for path, _ in described["key"]]
        if names is not None and any(path in names for path in paths):
            unique = "refuses documents without these fields; drop it first" if _is_strict(described) else _USELESS
            found.append(f"the index {index} is on fields that go: it {unique}")
    left = (await count_wholes(ground.place.store, ground.name)).left
    if left:
        found.append(f"{left:,} entities that upgrade leaves (LEAVE) stay as they are, with V1's fields")
    waived = await ground.parts.letters.count_waived(ground.name)
    if waived:
        found.append(f"{waived:,} entities whose dead letters were waived stay as they are, if they do not convert")
    if record.archive is None or record.archive.digest is None:
        found.append("V1's fields are not archived; lazymig retire archive does that")
    return found


_USELESS = "finds nothing any more; drop it once no query names it"


def _is_strict(described: object) -> bool:
    known = described if isinstance(described, dict) else {}
    return bool(known.get("unique")) and not known.get("sparse") and "partialFilterExpression" not in known
