"""What a sweep reports: its progress while it runs, and its result."""

from __future__ import annotations

from collections import Counter

from attrs import frozen

from lazymig.stores.records import DeadLetter


@frozen
class Left:
    """About how many entities V2 lacks, and how many have an announced write."""

    remaining: int
    dirty: int


@frozen
class Progress:
    """The progress of a sweep.

    `total`, `done`, `before`, `remaining` and `dirty` are of the whole pass, the other counts of this process.

    `done`, the counts and `done / total` never go back; `remaining` never goes up.

    Attributes:
        total: About how many ids V1 has.
        done: V1 ids that all processes which share the pass have looked at.
        before: Of these, ids that were looked at by earlier runs, or by others before this one started.
        scanned: V1 ids that were looked at.
        migrated: Of these, entities that this process moved.
        present: Of these, entities that V2 had before: reads, writes or earlier sweeps moved them.
        moved_by_clients: Of these, entities that a client moved while the sweep was about to.
        reconverted: V2 bodies of older conversions that were converted again.
        healed: Marks of dead writers that were resolved; in one document, V2 parts that other programs had left behind.
        purged: Remainders of deleted entities that were removed from V2.
        dead: Of the scanned, entities that cannot be moved.
        remaining: About how many entities V2 lacks, when last counted.
        dirty: Entities in V2 with an open mark, when last counted.
        elapsed_s: Seconds since the run began.
        waiting: Whether nothing is left except what other sweepers hold.
        adopted: V2 documents that lazymig had not stored and that were replaced by what V1 holds.
        throttle: Why this process waits or goes slowly now, such as "the server reports overload"; empty where it
            does not.
    """

    total: int
    done: int
    before: int
    scanned: int
    migrated: int
    present: int
    moved_by_clients: int
    reconverted: int
    healed: int
    purged: int
    dead: int
    remaining: int
    dirty: int
    elapsed_s: float
    waiting: bool = False
    adopted: int = 0
    throttle: str = ""


@frozen
class SweepReport:
    """What one run did, and what is left.

    Attributes:
        migration: The migration's name.
        total: About how many ids V1 has.
        scanned: V1 ids that were looked at.
        migrated: Of these, entities that this run moved.
        present: Of these, entities that V2 had before: reads, writes or earlier sweeps moved them.
        moved_by_clients: Of these, entities that a client moved while the sweep was about to.
        reconverted: V2 bodies of older conversions that were converted again.
        healed: Marks of dead writers that were resolved.
        purged: Remainders of deleted entities that were removed from V2.
        dead: Of the scanned, entities that cannot be moved.
        remaining: About how many entities V2 lacks at the end.
        dirty: Entities in V2 with an open mark at the end.
        dead_letters: Entities that need a person now, found by this run or an earlier one.
        elapsed_s: Seconds that the run took.
        finished: False if the run was stopped before its end.
        warnings: What is wrong with the release that ran the sweep; each says what to do.
        adopted: V2 documents that lazymig had not stored and that were replaced by what V1 holds.
        foreign: V2 documents that lazymig had not stored and that were left.
        not_movable: In a dry run, the first 1,000 of the `dead`.
        waiting: Of the scanned, entities that wait for their users, and of which this run recorded that.
        left: Of the scanned, entities that are not taken over, and of which this run recorded that.
        limits: What the run did not do, because of its filter or its direction; each in words.
        in_place: Whether one document carries both shapes. There are no marks then, and nothing is purged; `healed`
            are the V2 parts that were made of V1's fields before another program changed these.
        on_server: Of the migrated, entities that the server converted, by `Migration(upgrade_pipeline=...)`.
    """

    migration: str
    total: int
    scanned: int
    migrated: int
    present: int
    moved_by_clients: int
    reconverted: int
    healed: int
    purged: int
    dead: int
    remaining: int
    dirty: int
    dead_letters: int
    elapsed_s: float
    finished: bool
    warnings: tuple[str, ...] = ()
    adopted: int = 0
    foreign: int = 0
    not_movable: tuple[DeadLetter, ...] = ()
    waiting: int = 0
    left: int = 0
    limits: tuple[str, ...] = ()
    in_place: bool = False
    on_server: int = 0

    @property
    def needs_person(self) -> bool:
        """Whether something is left that another sweep cannot resolve."""
        return self.dead_letters > 0 or self.foreign > 0


#: The counts of each process, which are added up where several share a sweep.
COUNTED = (
    "scanned", "migrated", "present", "moved_by_clients", "reconverted", "healed", "purged", "dead", "adopted",
)  # fmt: skip


def progress_of(
    counts: Counter[str], total: int, done: int, before: int, left: Left, elapsed_s: float, *, waiting: bool
) -> Progress:
    """Return the progress with these counts; `total` is never less than `done`."""
    return Progress(
        total=max(total, done), done=done, before=before, remaining=left.remaining, dirty=left.dirty,
        elapsed_s=elapsed_s, waiting=waiting, throttle="", **{name: counts[name] for name in COUNTED},
    )  # fmt: skip


@frozen(kw_only=True)
class Outcome:
    """The outcome of a run without its counts."""

    finished: bool
    dead_letters: int
    warnings: tuple[str, ...]
    not_movable: tuple[DeadLetter, ...]
    limits: tuple[str, ...]
    in_place: bool


def report_of(
    migration: str, counts: Counter[str], total: int, left: Left, elapsed_s: float, outcome: Outcome
) -> SweepReport:
    """Return the report of a run with these counts and this outcome."""
    return SweepReport(
        migration=migration, total=max(total, counts["scanned"]), remaining=left.remaining, dirty=left.dirty,
        elapsed_s=elapsed_s, foreign=counts["foreign"], finished=outcome.finished, dead_letters=outcome.dead_letters,
        warnings=outcome.warnings, not_movable=outcome.not_movable, waiting=counts["waiting"], left=counts["left"],
        limits=outcome.limits, in_place=outcome.in_place, on_server=counts["on_server"],
        **{name: counts[name] for name in COUNTED},
    )  # fmt: skip
