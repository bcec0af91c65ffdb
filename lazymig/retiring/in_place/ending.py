"""What is left of a migration in one collection once V1's fields are gone: `_lazymig`, indexes, and control rows."""

from __future__ import annotations

from typing import TypeVar

from attrs import evolve

from lazymig.control.retirement import RetirementRecord, RetirementStage
from lazymig.errors import PhaseError
from lazymig.passes.throttle import Limits, Throttle
from lazymig.retiring.in_place.ground import PlaceGround, check_step_in_place
from lazymig.retiring.reduction import FINISH, INDEXES, STRIP, ReduceOptions, Reduction, find_page
from lazymig.stores.decoding import Unreadable
from lazymig.stores.scans import Scan
from lazymig.stores.whole_counts import count_wholes
from lazymig.stores.whole_reducing import WholeReducing

V1 = TypeVar("V1")
V2 = TypeVar("V2")

_BATCH = 1000


async def strip(ground: PlaceGround[V1, V2], record: RetirementRecord, options: ReduceOptions) -> Reduction:
    """Take `_lazymig` out of all documents, from where an earlier run stopped."""
    check_step_in_place(record, STRIP, RetirementStage.REDUCED, RetirementStage.RETIRED)
    if record.stripped:
        raise PhaseError(f"{STRIP}: _lazymig was taken out of the documents; nothing is left to strip")
    if record.doing != STRIP:
        await check_all_alone(ground, STRIP, but_left=False)
        record = await ground.begin(record, STRIP, position=())
    found, scan, reducing = Reduction(), Scan(ground.place.store), WholeReducing(ground.place.store)
    throttle = Throttle(ground.place.store, Limits(batch_size=_BATCH), ground.stopping, ground.clock)
    retirements = ground.parts.retirement(ground.name)
    while await throttle.wait_for_page():
        ids = await find_page(scan, record.position)
        if not ids:
            await ground.end(record, "stripped", position=(), stripped=True)
            return evolve(found, finished=True)
        done = await reducing.strip(ids)
        found = evolve(found, scanned=found.scanned + len(ids), reduced=found.reduced + done)
        if not isinstance(ids[-1], Unreadable):  # which no row can hold; the next page records the place
            record = await retirements.save(record, evolve(record, position=tuple(ids[-1:])), by=ground.by, what="")
        if options.on_progress is not None:
            options.on_progress(found)
    return found


async def check_all_alone(ground: PlaceGround[V1, V2], step: str, *, but_left: bool) -> None:
    """Raise `PhaseError` where documents are not reduced. `but_left`: those that `upgrade` leaves do not count."""
    counts = await count_wholes(ground.place.store, ground.name)
    waived = await ground.parts.letters.count_waived(ground.name) if but_left else 0
    others = counts.documents - counts.alone - (counts.left if but_left else 0)
    within = ground.shape.within
    if within is not None and (inside := await WholeReducing(ground.place.store).count_with([within])):
        raise PhaseError(
            f"{step}: {inside:,} documents still have the sub-document {within}: a process with a fixed phase may have "
            "stored them; let it follow a Control, and run lazymig retire reduce again"
        )
    if others > waived:
        raise PhaseError(
            f"{step}: {others:,} documents still have V1's part: upgrade leaves them, they do not convert, or another "
            "program has stored them since; run lazymig retire reduce again, or delete those that nobody needs"
        )


async def finish(ground: PlaceGround[V1, V2], record: RetirementRecord) -> RetirementRecord:
    """Remove lazymig's indexes and the migration's rows. The phase and this end stay recorded."""
    check_step_in_place(record, FINISH, RetirementStage.REDUCED)
    if record.doing != FINISH:
        if not record.stripped:
            await check_all_alone(ground, FINISH, but_left=True)
        record = await ground.begin(record, FINISH)
    for index in INDEXES:
        await ground.whole.remove_index(index)
    await ground.parts.retirement(ground.name).remove_others()
    return await ground.end(record, "finished", stage=RetirementStage.RETIRED)
