"""Made-up snapshots, as the page may meet them: nothing yet, all at work, in trouble, at the end, and each layout."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from types import MappingProxyType

from attrs import evolve

from lazymig.control import (
    CutOver,
    FiguresRecord,
    Followed,
    GroupFigures,
    MemberRecord,
    Moved,
    Running,
    RunRecord,
    Standing,
    Steering,
)
from lazymig.control.figures import SideFigures
from lazymig.control.journal import Act
from lazymig.control.samples import Sample
from lazymig.measuring.holdings import Holdings, MovedBy
from lazymig.measuring.in_place import PlaceHoldings, Stale
from lazymig.phases import Phase
from lazymig.status.letters import grouped
from lazymig.status.looking import Status
from lazymig.status.recorded import DarkLog, Fleet, Passes, Verified
from lazymig.stores.records import DeadLetter
from lazymig.sweeping.versions import Versions
from lazymig.switch import Gate, Plan
from lazymig.web.snapshot import Snapshot

NOW = datetime(2026, 11, 28, 14, 30, 5)
#: What somebody may have for an id or a reason.
HOSTILE = '<script>alert("1")</script>&amp;\'"><b>\x1b[31m\u202egnp\x00'
LONG = "x" * 300
NOTHING = Status(
    migration="people", phase="v1_only", v1=1_204_331, v2=Holdings(0, 0, 0, 0), moved_by=MovedBy(0, 0, 0, 0, False),
    dead_letters=0, letters=[], runs=[], verified=Verified(None, {}, None), dark_reads=DarkLog(0, None),
    conversions={}, warnings=[], at=NOW, slow_at=NOW,
)  # fmt: skip


def ago(**span: float) -> datetime:
    """A moment before now."""
    return NOW - timedelta(**span)


def walk(phase: Phase) -> tuple[Moved, ...]:
    """The steps up to a phase, the last one two days ago."""
    phases = list(Phase)[: list(Phase).index(phase) + 1]
    return tuple(
        Moved(ago(days=2 + len(phases) - epoch), "grace@deploy-1", "tests are green", before, after, epoch)
        for epoch, (before, after) in enumerate(zip([None, *phases], phases, strict=False), 1)
    )


def fleet(phase: Phase, *members: MemberRecord, **standing: object) -> Fleet:
    """A fleet in a phase."""
    history = walk(phase)
    made = Standing("people", phase, len(history), None, {}, history)
    return Fleet(evolve(made, **standing), members)


def member(name: str, epoch: int, **fields: object) -> MemberRecord:
    """A process that was heard of three seconds ago."""
    made = MemberRecord(name, name, "service", "0.1.0", 3, epoch, 812, 15.0, ago(seconds=3))
    return evolve(made, **fields)


def letter(id: object, **fields: object) -> DeadLetter:
    """A dead letter of a conversion that failed."""
    made = DeadLetter(
        "people", id, 4, "upgrade", "ValueError", "upgrade failed", "name", ago(days=1), ago(minutes=20), 7, None,
        "model.py:61 in upgrade",
    )  # fmt: skip
    return evolve(made, **fields)


def run(kind: str, hours: float, **counts: int) -> tuple[str, RunRecord]:
    """A run of half an hour that finished."""
    return kind, RunRecord("people", ago(hours=hours + 0.5), ago(hours=hours), True, counts, ago(hours=hours + 0.5), 3)


def figures(*names: str) -> tuple[FiguresRecord, ...]:
    """What one process found by dark reads."""
    groups = {}
    for name in names:
        v1, v2 = SideFigures(9_120, 3), SideFigures(9_117, 0)
        for _ in range(50):
            v1.latency.record(0.0041)
            v2.latency.record(0.0023)
        groups[name] = GroupFigures(Counter(matched=9_101, mismatched=16, moved=2), v1, v2)
    return (FiguresRecord("a", "web-1/4711", CutOver(0.25, ("staff",)), (), groups, ago(seconds=9)),)


def samples(count: int = 90) -> tuple[Sample, ...]:
    """Samples of a sweep that moves 900 entities per second."""
    return tuple(
        Sample(
            at=ago(seconds=10 * (count - number)), by="sweep web-1/4711", phase="coexist", v1=1_204_331,
            live=400_000 + 9_000 * number, left=120, waiting=31, dirty=number % 5, dead=min(number // 30, 2),
            mismatches=0, moved_read=150_000 + 2_000 * number, moved_write=50_000 + 500 * number,
            moved_sweep=200_000 + 6_500 * number, per_s=None if number < 20 else 880 + number % 7 * 15,
            v1_p99_s=0.0041 + number % 3 / 10_000, v2_p99_s=0.0023, consistency=0.998,
        )
        for number in range(count)
    )  # fmt: skip


def gates() -> tuple[Gate, ...]:
    """The conditions of a step, some of which are not met."""
    return (
        Gate("fleet", "open", "3 processes (3 service), and all have acknowledged epoch 4"),
        Gate("verification", "closed", "no finished verification of all entities is recorded", "run lazymig verify"),
        Gate("soak", "closed", "no clean verification yet; 1 h must pass after the first", "run lazymig verify", True),
        Gate("outside-writes", "unknown", "this server keeps no change streams", "see that nobody writes V1", True),
        Gate("waiting", "closed", "31 entities wait for their users", "lazymig waiting lists them", True, True),
    )  # fmt: skip


def plan(phase: Phase, target: Phase, *judged: Gate) -> Plan:
    """A step of the plan."""
    steps = ("wait until all processes have acknowledged the last step", f"record {target}")
    after = ("V2 lists and counts by its own fields",)
    return Plan("people", "advance", phase, target, 4, judged, steps, after)


def at_work() -> Snapshot:
    """A sweep in the middle of coexist."""
    running = Running(
        process="sweep-1/881", kind="sweep", since=ago(minutes=12), seen_at=ago(seconds=1), done=640_112, per_s=910.4,
        paused=False, throttle="replication lags by 12 s", rate=1000.0, concurrency=2, batch=500,
    )  # fmt: skip
    status = evolve(
        NOTHING, phase="coexist", v2=Holdings(1_201_200, 3, 2, 14, 31, 120),
        moved_by=MovedBy(328_000, 94_500, 778_700, 3, True),
        conversions={2: 12, 3: 1_201_191}, plan=plan(Phase.COEXIST, Phase.V2_PRIMARY, *gates()),
        fleet=fleet(
            Phase.COEXIST, member("web-1/4711", 4), member("web-2/4712", 4), member("sweep-1/881", 4, role="sweep"),
            settings={"share": 0.25, "cohorts": ["staff"]},
        ),
        passes=Passes((running,), {}), runs=[run("sweep", 30, scanned=900, migrated=800)[1]],
        verified=Verified(run("verify", 5, compared=1_204_000, match=1_204_000, total=1_204_000)[1], {}, None),
        follower=Followed(True, ago(seconds=2), 0.4, 0.02, 0.31, None, 1, {ago(hours=3): {"update": 3}}),
        versions=Versions("schema", 4, {"missing": 12, "3": 900, "4": 1_203_419}, True),
    )  # fmt: skip
    runs = (run("verify", 5, compared=1_204_000, match=1_204_000), run("sweep", 30, scanned=900, migrated=800))
    acts = (Act(ago(minutes=3), "ada@example.org", "rate", "sweep at 1,000 per second", "set", True, ago(minutes=3)),)
    return Snapshot(status, walk(Phase.COEXIST), runs, figures("staff", "share", "rest"), samples(), acts)


def in_trouble() -> Snapshot:
    """Dead letters and mismatches, paused sweeps, processes that are behind, and people who write HTML."""
    letters = [
        letter(HOSTILE), letter(f"{LONG}-1", line="model.py:77 in upgrade", message=LONG), letter(5), letter("5"),
        letter(f"cust-{HOSTILE}", direction="store", error="WriteError", message="index <email_1> refuses it", line=""),
    ]  # fmt: skip
    paused = Steering(paused=True, paused_by=f"eve {HOSTILE}", paused_at=ago(hours=3), reason=f"<i>{LONG}</i>")
    status = evolve(
        at_work().status, dead_letters=1_312, letters=letters, causes=tuple(grouped(letters)),
        warnings=[f"the classes have changed: {HOSTILE}"],
        unseen=("indexes of V2",), foreign=("V2 holds 3 documents that lazymig did not store",),
        passes=Passes((), {"sweep": paused}), dark_reads=DarkLog(41, ago(days=3)),
        verified=Verified(run("verify", 5, compared=9, match=2)[1], {"different": 7, "orphan": 1_204}, ago(days=2)),
        fleet=fleet(
            Phase.COEXIST, member("web-1/4711", 4), member(f"web-{LONG}", 3, seen_at=ago(minutes=9)),
            member(HOSTILE, 2), hold="writes",
        ),
    )  # fmt: skip
    moves = (
        *walk(Phase.COEXIST),
        Moved(ago(hours=1), HOSTILE, LONG, Phase.COEXIST, Phase.COEXIST, 5, f"share {HOSTILE}"),
    )
    made = evolve(at_work(), status=status, moves=moves, trouble=f"no server answers: {HOSTILE}", samples=samples(2))
    return evolve(made, acts=(Act(ago(minutes=3), HOSTILE, "waive", f"{HOSTILE}: {LONG}"),))


def at_the_end() -> Snapshot:
    """V2 alone, before V1 is taken out of service."""
    status = evolve(
        NOTHING, phase="v2_only", v2=Holdings(1_204_500, 0, 0, 3), moved_by=MovedBy(300_000, 200_000, 704_500, 0, True),
        conversions={3: 1_204_500}, fleet=fleet(Phase.V2_ONLY, member("web-1/4711", 6)), retirement="watch",
    )  # fmt: skip
    return Snapshot(status, walk(Phase.V2_ONLY))


def in_place() -> Snapshot:
    """Both shapes in one document."""
    held = PlaceHoldings(20_000, 15_010, 3, 7, 0, MovedBy(10, 5_000, 10_000, 0, True), {1: 15_010}, True)
    status = evolve(
        NOTHING, phase="shadow", v1=20_000, v2=held.as_of_two, place=held, stale=Stale(12, True),
        moved_by=held.moved_by, conversions=held.conversions, fleet=fleet(Phase.SHADOW),
    )  # fmt: skip
    return Snapshot(status, walk(Phase.SHADOW))


def alone() -> Snapshot:
    """One collection whose documents are brought up when they are read."""
    versions = Versions("schema", 3, {"missing": 2, "2": 10, "3": 88}, False, (1,))
    return Snapshot(evolve(NOTHING, phase="coexist", v1=100, upcasting_only=True, versions=versions))


SNAPSHOTS: Mapping[str, Callable[[], Snapshot]] = MappingProxyType(
    {
        "nothing": lambda: Snapshot(NOTHING),
        "at work": at_work,
        "in trouble": in_trouble,
        "at the end": at_the_end,
        "in place": in_place,
        "alone": alone,
    }
)
