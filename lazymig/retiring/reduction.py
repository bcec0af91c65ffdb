"""V2's documents without what only the migration needed, and then everything else that it has left."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import TypeVar

from attrs import evolve, field, frozen

from lazymig.control.retirement import RetirementRecord, RetirementStage
from lazymig.errors import ConfigurationError, LazymigError, PhaseError
from lazymig.passes.throttle import Limits, Throttle
from lazymig.retiring.ground import Ground, Work, check_step
from lazymig.stores.decoding import Unreadable
from lazymig.stores.documents import raw_id
from lazymig.stores.fences import MongoFence
from lazymig.stores.fencing import Ability
from lazymig.stores.given import RawId
from lazymig.stores.keyset import BY_ID
from lazymig.stores.moving_away import Removable
from lazymig.stores.raw import decode_for_id
from lazymig.stores.reducing import Reducing
from lazymig.stores.scans import Scan

V1 = TypeVar("V1")
V2 = TypeVar("V2")

REDUCE, STRIP, FINISH = "reduce", "reduce --strip", "finish"
#: Seconds that the change of V2's validator may take.
_FENCE_S = 30.0
#: Documents per batch.
_BATCH = 1000
#: The indexes that lazymig made in V2.
INDEXES = ("lazymig_at", "lazymig_conv", "lazymig_unmoved")
_AFTER_DROP = (RetirementStage.DROPPED, RetirementStage.REDUCED, RetirementStage.RETIRED)


@frozen
class Reduction:
    """What a reduction of V2's documents did so far.

    Attributes:
        scanned: Documents of V2 that were looked at, by this run.
        reduced: Documents that were made smaller.
        tombstones: Tombstones that were removed.
        left: Tombstones that are younger than the grace period; None while the run is under way.
        finished: Whether every document was looked at.
        kept: Where one document carries both shapes: documents that stay as they are, because `upgrade` leaves them, or
            because they do not convert and a person has waived that.
        failed: There, documents that could not be reduced, in this pass.
        failures: The first of these by id, each with the reason.
    """

    scanned: int = 0
    reduced: int = 0
    tombstones: int = 0
    left: int | None = None
    finished: bool = False
    kept: int = 0
    failed: int = 0
    failures: tuple[str, ...] = ()

    @property
    def needs_person(self) -> bool:
        """Whether documents could not be reduced."""
        return self.failed > 0


@frozen(kw_only=True)
class ReduceOptions:
    """How V2's documents are reduced."""

    grace_s: float
    strip: bool
    confirm: str | None = None
    on_progress: Callable[[Reduction], None] | None = field(default=None, eq=False)

    @property
    def step(self) -> str:
        """The step's name in the record."""
        return STRIP if self.strip else REDUCE


async def check_strip(ground: Work, confirm: str | None) -> None:
    """Raise `ConfigurationError` unless it was confirmed by name, `PhaseError` while processes use the collection."""
    if confirm != ground.name:
        raise ConfigurationError(
            "strip: without _lazymig, no process can use V2 through lazymig any more, and this cannot be undone; stop "
            f"them all, and confirm it by the migration's name, {ground.name}"
        )
    alive = await find_alive(ground)
    if alive:
        raise PhaseError(
            f"strip: {len(alive):,} processes still use V2 through lazymig ({', '.join(alive)}); stop them"
        )


async def find_alive(ground: Work) -> list[str]:
    """Return the names of processes in the fleet whose leases are not over, once that is known of each."""
    members = ground.parts.members(ground.name)
    first = await members.find_all()
    if not first:
        return []
    leases = [one.lease_s for one in first if one.has_lease]
    await ground.clock.sleep(1.5 * max([ground.parts.lease_s, *leases]))
    beats = {one.key: one.beat for one in first}
    alive = [one for one in await members.find_all() if not one.has_lease or beats.get(one.key) != one.beat]
    return sorted(one.name if one.has_lease else members.describe_without_lease(one) for one in alive)


async def reduce(
    ground: Ground[V1, V2], record: RetirementRecord, options: ReduceOptions
) -> tuple[RetirementRecord, Reduction]:
    """Reduce or strip V2's documents, from where an earlier run stopped; after the end, from the first one again."""
    step = options.step
    check_step(record, step, *_AFTER_DROP)
    if record.stripped:
        raise PhaseError(f"{step}: _lazymig was taken out of V2's documents; nothing is left to reduce")
    if record.doing != step:
        record = await ground.begin(record, step, position=())
    position = record.position
    store = Reducing(ground.pair.bodies, ground.clock)
    before = await store.now() - timedelta(seconds=options.grace_s)
    scan, found = Scan(ground.pair.bodies), Reduction()
    throttle = Throttle(ground.pair.bodies, Limits(batch_size=_BATCH), ground.stopping, ground.clock)
    retirements = ground.parts.retirement(ground.name)
    while await throttle.wait_for_page():
        ids = await find_page(scan, position)
        if not ids:
            return await _end(ground, record, options, evolve(found, left=await store.count_gone(), finished=True))
        done = await (store.strip(ids) if options.strip else store.reduce(ids, before))
        found = evolve(
            found, scanned=found.scanned + len(ids), reduced=found.reduced + done.documents,
            tombstones=found.tombstones + done.tombstones,
        )  # fmt: skip
        position = tuple(ids[-1:])
        if not isinstance(ids[-1], Unreadable):  # which no row can hold; the next page records the place
            record = await retirements.save(record, evolve(record, position=position), by=ground.by, what="")
        if options.on_progress is not None:
            options.on_progress(found)
    return record, found


async def find_page(scan: Scan, position: Sequence[RawId]) -> list[RawId]:
    """Find the ids of the next batch."""
    where = scan.after(BY_ID, {"_id": position[0]}) if position else {}
    return [raw_id(decode_for_id(found)["_id"]) for found in await scan.find_ids(where, _BATCH)]


async def _end(
    ground: Ground[V1, V2], record: RetirementRecord, options: ReduceOptions, found: Reduction
) -> tuple[RetirementRecord, Reduction]:
    stage = RetirementStage.REDUCED if record.stage is RetirementStage.DROPPED else record.stage
    said = f"{'stripped' if options.strip else 'reduced'} V2, {found.tombstones:,} tombstones removed"
    return await ground.end(record, said, stage=stage, position=(), stripped=options.strip), found


async def finish(ground: Ground[V1, V2], record: RetirementRecord) -> RetirementRecord:
    """Remove V2's fence and lazymig's indexes, and the migration's rows. The phase and this end stay recorded."""
    check_step(record, FINISH, RetirementStage.REDUCED)
    if record.doing != FINISH:
        record = await ground.begin(record, FINISH)
    fence = await MongoFence(ground.pair.bodies, "v2").take_down(_FENCE_S)
    if fence.ability in (Ability.STANDS, Ability.BUSY, Ability.FORBIDDEN):
        raise LazymigError(f"finish: V2's fence is not removed. {fence.why}")
    v2 = Removable(ground.pair.bodies)
    for index in INDEXES:
        await v2.remove_index(index)
    await ground.parts.retirement(ground.name).remove_others()
    return await ground.end(record, "finished", stage=RetirementStage.RETIRED)
