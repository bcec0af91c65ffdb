"""Looking up how far a migration is: both collections, the control collection, and what runs. Changes nothing."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import partial
from typing import Any, TypeAlias, TypeVar

from attrs import evolve, field, frozen

from lazymig.control import Control, Followed, RunRecord, parts_of
from lazymig.dark.contests import SOURCE as DARK_READ
from lazymig.measuring.held import Held, look_up_held
from lazymig.measuring.holdings import Holdings, MovedBy
from lazymig.measuring.in_place import PlaceHoldings, Stale
from lazymig.phases import Phase
from lazymig.repository import Repository, calls_of
from lazymig.routes.stages import Stage
from lazymig.shapes.migration import is_upcasting_only
from lazymig.status.counting import Sampled, look_up_sampled
from lazymig.status.gates import (
    Facts,
    describe_following,
    describe_members,
    doubt,
    find_costly,
    find_lacking,
    judge_again,
    look_up_plan,
)
from lazymig.status.letters import Group, group_counts
from lazymig.status.recorded import (
    NO_FLEET,
    NO_PASSES,
    DarkLog,
    Fleet,
    Passes,
    Verified,
    look_up_dark,
    look_up_fleet,
    look_up_passes,
    look_up_verified,
)
from lazymig.status.slowly import Chooser, Recalled, Slow, look_when_due
from lazymig.stores.records import DeadLetter
from lazymig.sweeping.revisions import find_warnings
from lazymig.sweeping.rewrite import KIND
from lazymig.sweeping.versions import Versions
from lazymig.switch import Plan
from lazymig.switching.case import Demands

V1 = TypeVar("V1")
V2 = TypeVar("V2")
#: A migration's repository, whatever its types are.
AnyRepository: TypeAlias = Repository[Any, Any]

#: How many dead letters and runs are shown at most.
SHOWN = 10
#: How old samples, checks of the collections and gates may be where they are shown again and again.
SLOWLY = timedelta(seconds=30)
#: What the next step demands, unless somebody says otherwise: as `Switch` does.
DEMANDS = Demands()


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
    upcasting_only: bool = False
    fleet: Fleet = NO_FLEET
    passes: Passes = NO_PASSES
    #: The next step and what it needs; None where the phase is fixed, or nothing is left.
    plan: Plan | None = None
    #: The next step of V1's end, once V2 is the only truth; "" before that, and once V1's end is finished.
    retirement: str = ""
    #: When this was looked up, by the control collection's server; and when samples, checks and gates were.
    at: datetime = datetime.min
    #: What the conditions of the plan rest on, as it was when they were judged.
    facts: Facts | None = field(default=None, repr=False)
    slow_at: datetime = datetime.min

    @property
    def needs_person(self) -> bool:
        """Whether something is left that lazymig cannot resolve by itself."""
        return bool(self.dead_letters or self.foreign or self.verified.mismatches)

    @property
    def remaining(self) -> int:
        """About how many entities V2 lacks."""
        return 0 if self.upcasting_only else self.v2.remaining(self.v1)

    @property
    def share(self) -> float:
        """The part of the entities to take over that is migrated, from 0 to 1."""
        return 1.0 if self.upcasting_only else self.v2.how_far(self.v1).share

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
    cost the servers more than the rest. `choose` says when, and who waits for them. Gates that rest on something else
    by now are judged at each look.
    """
    calls, control, name = calls_of(repository), control_of(repository), repository.migration.name
    fleet, now = await look_up_fleet(control, name), await parts_of(control).time.now()
    stage = calls.find_stage(fleet.standing)
    held = await look_up_held(calls.ground, exact=exact)
    dead, letters = await control.dead_count(name), await _oldest(control, name)
    verified, dark_reads = await look_up_verified(control, name), await look_up_dark(control, name)
    warnings, passes = await find_warnings(calls.ground, control), await look_up_passes(control, name)
    follower = await parts_of(control).following(name).find()
    # Before conditions are judged: what changes meanwhile is a change to the next look.
    facts = _note_facts(fleet, held, dead, verified, dark_reads, warnings, follower, passes)
    look = partial(_look_up_slowly, repository, stage, held, now, demands, facts, exact=exact)
    slow = await (choose or look_when_due)(_recall(before, fleet, held, facts, now), look)
    slow = await _judge_again(repository, slow, fleet, held, facts, demands)
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
        verified=verified,
        dark_reads=dark_reads,
        warnings=warnings,
        follower=follower,
        upcasting_only=is_upcasting_only(repository.migration),
        fleet=fleet,
        passes=passes,
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
        facts=slow.facts,
    )


def control_of(repository: AnyRepository) -> Control:
    """Return the control collection that the repository follows, or the one beside V2. Sends nothing."""
    return calls_of(repository).choose_control()


def _note_facts(
    fleet: Fleet, held: Held, dead: int, verified: Verified, dark_reads: DarkLog, warnings: list[str],
    follower: Followed | None, passes: Passes,
) -> Facts:  # fmt: skip
    return Facts(
        members=describe_members(fleet.members), warnings=tuple(warnings), letters=dead, verified=verified.last,
        mismatches={**verified.mismatches, DARK_READ: dark_reads.mismatches}, lacking=find_lacking(held, dead),
        waiting=bool(held.v2.waiting), dirty=held.v2.dirty, follower=describe_following(follower),
        running=tuple((one.process, one.kind) for one in passes.running),
    )  # fmt: skip


async def _look_up_slowly(
    repository: Repository[V1, V2],
    stage: Stage[V1, V2],
    held: Held,
    now: datetime,
    demands: Demands,
    facts: Facts,
    *,
    exact: bool,
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
        plan=await look_up_plan(repository, standing, demands),
        facts=facts,
    )


def _recall(before: Status | None, fleet: Fleet, held: Held, facts: Facts, now: datetime) -> Recalled:
    if before is None:
        return Recalled(None)
    moved = fleet.standing != before.fleet.standing
    sampled = Sampled(before.moved_by, before.conversions, before.versions, before.stale)
    plan = None if moved else before.plan
    slow = Slow(before.slow_at, sampled, before.unseen, before.foreign, plan, before.facts)
    changed = slow.find_changed(facts) & find_costly(held)
    return Recalled(slow, now - before.slow_at > SLOWLY, moved, bool(changed))


async def _judge_again(
    repository: AnyRepository, slow: Slow, fleet: Fleet, held: Held, facts: Facts, demands: Demands
) -> Slow:
    """Judge again what rests on something else now. What costs too much for that is shown as unknown meanwhile."""
    plan, changed, costly = slow.plan, slow.find_changed(facts), find_costly(held)
    if plan is None or fleet.standing is None or plan.epoch != fleet.standing.epoch:
        return evolve(slow, plan=None)  # a look that began before the fleet moved
    if now := changed - costly:
        plan = await judge_again(repository, plan, fleet.standing, now, demands)
    shown = None if plan is None else doubt(plan, changed & costly)
    return evolve(slow, plan=shown, facts=facts.without(changed & costly, slow.facts))


async def _look_up_retirement(repository: Repository[V1, V2]) -> str:
    record = await parts_of(control_of(repository)).retirement(repository.migration.name).find()
    in_place = calls_of(repository).place is not None
    return record.find_next(part=repository.migration.part, in_place=in_place)


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


async def _last_runs(control: Control, name: str) -> list[RunRecord]:
    """Find the last runs that wrote documents, newest first."""
    found = [run for kind in ("sweep", KIND) for run in await control.history(name, SHOWN, kind=kind)]
    return sorted(found, key=lambda run: run.started_at, reverse=True)[:SHOWN]
