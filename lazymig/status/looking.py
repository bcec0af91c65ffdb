"""Looking up how far a migration is: both collections, the control collection, and what runs. Changes nothing."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import Any, TypeAlias, TypeVar

from attrs import field, frozen
from pymongo.errors import OperationFailure

from lazymig.control import Control, Followed, MemberRecord, Running, RunRecord, Standing, Steering, parts_of
from lazymig.dark.contests import SOURCE as DARK_READ
from lazymig.measuring.held import Held, look_up_held
from lazymig.measuring.holdings import Holdings, MovedBy
from lazymig.measuring.in_place import PlaceHoldings, Stale
from lazymig.phases import Phase
from lazymig.repository import Repository, calls_of
from lazymig.routes.stages import Stage
from lazymig.shapes.migration import is_upcasting_only
from lazymig.status.counting import Sampled, look_up_sampled
from lazymig.status.letters import Group, group_counts
from lazymig.status.slowly import Chooser, Recalled, Slow, look_when_due
from lazymig.stores.records import DeadLetter
from lazymig.sweeping.revisions import find_warnings
from lazymig.sweeping.rewrite import KIND
from lazymig.sweeping.versions import Versions
from lazymig.switch import Plan, Switch
from lazymig.switching.case import Demands

V1 = TypeVar("V1")
V2 = TypeVar("V2")
#: A migration's repository, whatever its types are.
AnyRepository: TypeAlias = Repository[Any, Any]

#: How many dead letters and runs are shown at most.
SHOWN = 10
#: The kinds of passes that can be steered.
STEERED = ("sweep", "verify", "rewrite")
#: How old samples, checks of the collections and gates may be where they are shown again and again.
SLOWLY = timedelta(seconds=30)
#: What the next step demands, unless somebody says otherwise: as `Switch` does.
DEMANDS = Demands()


@frozen
class Verified:
    """What the last verification and live reads found that still stands.

    Attributes:
        last: The last run of a verification, None if there was none.
        mismatches: Entities that do not agree, by their verdicts. Only those that have stood for the minimum age count.
        oldest: When the oldest of these was first found.
    """

    last: RunRecord | None
    mismatches: Mapping[str, int]
    oldest: datetime | None


@frozen
class DarkLog:
    """The log of dark reads: how many entities it holds, and when the oldest was first found not to agree."""

    mismatches: int
    oldest: datetime | None


@frozen
class Fleet:
    """Where the control collection records the migration, and the processes that follow it; empty without a record."""

    standing: Standing | None = None
    members: tuple[MemberRecord, ...] = ()

    @property
    def behind(self) -> tuple[MemberRecord, ...]:
        """The processes that have not acknowledged the present epoch."""
        epoch = 0 if self.standing is None else self.standing.epoch
        return tuple(member for member in self.members if member.epoch != epoch)


@frozen
class Passes:
    """The processes that run passes now, and the orders to them by kind, where there are any."""

    running: tuple[Running, ...] = ()
    orders: Mapping[str, Steering] = field(factory=dict)


@frozen
class Status:
    """How far a migration is."""

    migration: str
    phase: str
    v1: int
    v2: Holdings
    moved_by: MovedBy
    dead_letters: int
    letters: list[DeadLetter]
    runs: list[RunRecord]
    verified: Verified
    dark_reads: DarkLog
    #: How many entities of V2 each conversion revision made.
    conversions: dict[int, int]
    #: What is wrong with this release; each says what to do.
    warnings: list[str]
    #: The open dead letters by their causes, the largest group first; of very many, a part of them.
    causes: tuple[Group, ...] = ()
    #: What is recorded of the follower; None where none ever ran.
    follower: Followed | None = None
    #: What this user or this server does not allow to check.
    unseen: tuple[str, ...] = ()
    #: What to do about V2's documents without `_lazymig`, where there are some.
    foreign: tuple[str, ...] = ()
    #: V1's documents by version, where the migration has upcasters.
    versions: Versions | None = None
    #: What the documents hold, and how many V2 parts are behind V1's, where one document carries both shapes.
    place: PlaceHoldings | None = None
    stale: Stale | None = None
    #: Whether there is one collection only, so that nothing is migrated.
    alone: bool = False
    fleet: Fleet = Fleet()
    passes: Passes = Passes()
    #: The next step and what it needs; None where the phase is fixed, or nothing is left.
    plan: Plan | None = None
    #: The next step of V1's end, once V2 is the only truth; "" before that, and once V1's end is finished.
    retirement: str = ""
    #: When this was looked up, by this machine's clock; and when samples, checks and gates were.
    at: datetime = datetime.min
    slow_at: datetime = datetime.min

    @property
    def needs_person(self) -> bool:
        """Whether something is left that lazymig cannot resolve by itself."""
        return bool(self.dead_letters or self.foreign or self.verified.mismatches)

    @property
    def remaining(self) -> int:
        """About how many entities V2 lacks."""
        return 0 if self.alone else self.v2.remaining(self.v1)

    @property
    def share(self) -> float:
        """The part of the entities to take over that is migrated, from 0 to 1."""
        return 1.0 if self.alone else self.v2.how_far(self.v1).share

    @property
    def to_move(self) -> int:
        """About how many entities there are to take over."""
        return self.v2.how_far(self.v1).to_move


async def looked_up(
    repository: AnyRepository, *, exact: bool, before: Status | None = None, demands: Demands = DEMANDS,
    choose: Chooser | None = None,
) -> Status:  # fmt: skip
    """Look at both collections and the control collection. `demands` are those of the next step.

    With what was looked up `before`, samples, checks of the collections and gates are repeated only now and then: they
    cost the servers more than the rest. `choose` says when, and who waits for them.
    """
    calls, control, name = calls_of(repository), control_of(repository), repository.migration.name
    fleet, now = await _look_up_fleet(control, name), parts_of(control).clock.now()
    stage = calls.find_stage(fleet.standing)
    held = await look_up_held(calls.ground, exact=exact)
    look = partial(_look_up_slowly, repository, stage, held, now, demands, exact=exact)
    slow = await (choose or look_when_due)(_recall(before, fleet, now), look)
    dead, letters = await control.dead_count(name), await _oldest(control, name)
    return Status(
        migration=name,
        phase=str(stage.phase),
        v1=held.v1,
        v2=held.v2,
        place=held.place,
        dead_letters=dead,
        letters=letters,
        causes=await _find_causes(control, name, dead, letters, before),
        runs=await _last_runs(control, name),
        verified=await _look_up_verified(control, name),
        dark_reads=await _look_up_dark(control, name),
        warnings=await find_warnings(calls.ground, control),
        follower=await parts_of(control).following(name).find(),
        alone=is_upcasting_only(repository.migration),
        fleet=fleet,
        passes=await _look_up_passes(control, name),
        retirement=await _look_up_retirement(repository) if stage.phase is Phase.V2_ONLY else "",
        at=now,
        slow_at=slow.at,
        moved_by=slow.sampled.moved_by,
        conversions=slow.sampled.conversions,
        versions=slow.sampled.versions,
        stale=slow.sampled.stale,
        unseen=slow.unseen,
        foreign=slow.foreign,
        plan=slow.plan,
    )


def control_of(repository: AnyRepository) -> Control:
    """Return the control collection that the repository follows, or the one beside V2. Sends nothing."""
    return calls_of(repository).choose_control()


async def _look_up_slowly(
    repository: Repository[V1, V2], stage: Stage[V1, V2], held: Held, now: datetime, demands: Demands, *, exact: bool
) -> Slow:
    calls, control = calls_of(repository), control_of(repository)
    seen = await stage.first_use.look(control=control, whole=True)
    seen.check(foreign=False)
    standing = await parts_of(control).phases(repository.migration.name).find()
    return Slow(
        at=now,
        sampled=await look_up_sampled(calls, held, exact=exact),
        unseen=seen.unseen,
        foreign=seen.foreign_problem,
        plan=await _look_up_plan(repository, standing, demands),
    )


def _recall(before: Status | None, fleet: Fleet, now: datetime) -> Recalled:
    if before is None:
        return Recalled(None)
    moved = fleet.standing != before.fleet.standing
    sampled = Sampled(before.moved_by, before.conversions, before.versions, before.stale)
    slow = Slow(before.slow_at, sampled, before.unseen, before.foreign, None if moved else before.plan)
    return Recalled(slow, now - before.slow_at > SLOWLY, moved)


async def _look_up_plan(repository: AnyRepository, standing: Standing | None, demands: Demands) -> Plan | None:
    if standing is None or calls_of(repository).control is None:
        return None
    try:
        plan = await Switch(repository, soak_s=demands.soak_s, max_age_s=demands.max_age_s).plan("advance")
    except OperationFailure:
        return None  # this user may not look at all that a step needs
    return None if plan.target is None else plan


async def _look_up_retirement(repository: Repository[V1, V2]) -> str:
    record = await parts_of(control_of(repository)).retirement(repository.migration.name).find()
    in_place = calls_of(repository).place is not None
    return record.find_next(part=repository.migration.part, in_place=in_place)


async def _look_up_fleet(control: Control, name: str) -> Fleet:
    parts = parts_of(control)
    return Fleet(await parts.phases(name).find(), tuple(await parts.members(name).find_all()))


async def _look_up_passes(control: Control, name: str) -> Passes:
    parts = parts_of(control)
    orders = await parts.find_orders(name, STEERED)
    given = {kind: found for kind, found in orders.items() if found != Steering()}
    return Passes(tuple(await parts.runners(name).find_all()), given)


async def _oldest(control: Control, name: str) -> list[DeadLetter]:
    async for page in parts_of(control).letters.find_pages(name, waived=False, size=SHOWN):
        return page[:SHOWN]
    return []


async def _find_causes(
    control: Control, name: str, dead: int, letters: list[DeadLetter], before: Status | None
) -> tuple[Group, ...]:
    if before is not None and (dead, letters) == (before.dead_letters, before.letters):
        return before.causes
    return group_counts(await parts_of(control).letters.count_open_by_cause(name)) if dead else ()


async def _look_up_verified(control: Control, name: str) -> Verified:
    table = parts_of(control).mismatches
    counts = await table.count_by_verdict(name, confirmed=True)
    runs = await control.history(name, 1, kind="verify")
    oldest = None
    async for page in table.find_pages(name, confirmed=True, size=1):
        oldest = page[0].first_at if page else None
        break
    return Verified(runs[0] if runs else None, {str(verdict): count for verdict, count in counts.items()}, oldest)


async def _look_up_dark(control: Control, name: str) -> DarkLog:
    log = parts_of(control).mismatches
    async for page in log.find_pages(name, source=DARK_READ, size=1):
        return DarkLog(await log.count(name, source=DARK_READ), page[0].first_at if page else None)
    return DarkLog(0, None)


async def _last_runs(control: Control, name: str) -> list[RunRecord]:
    """Find the last runs that wrote documents, newest first."""
    found = [run for kind in ("sweep", KIND) for run in await control.history(name, SHOWN, kind=kind)]
    return sorted(found, key=lambda run: run.started_at, reverse=True)[:SHOWN]
