"""What a sweep reports: where it stands, and what it did."""

from __future__ import annotations

from collections import Counter

from attrs import frozen

from lazymig.stores.records import DeadLetter


@frozen
class Left:
    """What is left in all, about: entities that V2 lacks, and entities with an announced write."""

    remaining: int
    dirty: int


@frozen
class Progress:
    """Where a sweep stands.

    `done` of about `total` V1 ids were looked at by all who share this pass, `before` of them by earlier runs, or by
    others before this one came. The counts are of this process so far: `scanned` ids, of which `present` were in V2
    before (moved by reads, writes and earlier sweeps), `migrated` were moved by this sweep, `moved_by_clients` were
    moved by a client in the same moment, and `dead` failed; in addition, `reconverted` bodies of older conversions,
    `healed` marks, `purged` remainders, and `adopted` documents that lazymig had not stored. `remaining` entities are
    not in V2 yet, about, and `dirty` ones are there with an open mark, when last looked up. `done`, the counts and
    `done / total` never go back, `remaining` never goes up. `waiting`: nothing is left but what other sweepers hold.
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


@frozen
class SweepReport:
    """What one run did, and what is left.

    `scanned` V1 ids were looked at; `present` of them were in V2 before (moved by reads, writes and earlier sweeps),
    `migrated` were moved by this run, `moved_by_clients` were moved by a client in the same moment, and `dead` failed.
    In addition, `reconverted` bodies of older conversions, `healed` marks and `purged` remainders. At the end,
    `remaining` entities are not in V2, about, and `dirty` ones are there with an open mark; `dead_letters` is the
    number of entities that need a person now, no matter which run met them. `finished` is False when it was stopped
    early. Of a dry run, `not_movable` names what does not convert: the first 1,000 of the `dead`. Of V2's documents
    that lazymig did not store, `adopted` were replaced by what V1 holds, and `foreign` were seen and left.
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
    #: What is wrong with the release that swept; each says what to do.
    warnings: tuple[str, ...] = ()
    adopted: int = 0
    foreign: int = 0
    not_movable: tuple[DeadLetter, ...] = ()

    @property
    def needs_person(self) -> bool:
        """Whether something is left that no further sweep can resolve."""
        return self.dead_letters > 0 or self.foreign > 0


#: What is counted by each process, and added up where several share a sweep.
COUNTED = (
    "scanned", "migrated", "present", "moved_by_clients", "reconverted", "healed", "purged", "dead", "adopted",
)  # fmt: skip


def progress_of(
    counts: Counter[str], total: int, done: int, before: int, left: Left, elapsed_s: float, *, waiting: bool
) -> Progress:
    """Make a `Progress` of these counts; never more done than there is."""
    return Progress(
        total=max(total, done), done=done, before=before, remaining=left.remaining, dirty=left.dirty,
        elapsed_s=elapsed_s, waiting=waiting, **{name: counts[name] for name in COUNTED},
    )  # fmt: skip


@frozen(kw_only=True)
class Outcome:
    """What a run came to, beside its counts."""

    finished: bool
    dead_letters: int
    warnings: tuple[str, ...]
    not_movable: tuple[DeadLetter, ...]


def report_of(
    migration: str, counts: Counter[str], total: int, left: Left, elapsed_s: float, outcome: Outcome
) -> SweepReport:
    """Make the report of a run with these counts and this outcome."""
    return SweepReport(
        migration=migration, total=max(total, counts["scanned"]), remaining=left.remaining, dirty=left.dirty,
        elapsed_s=elapsed_s, foreign=counts["foreign"], finished=outcome.finished, dead_letters=outcome.dead_letters,
        warnings=outcome.warnings, not_movable=outcome.not_movable, **{name: counts[name] for name in COUNTED},
    )  # fmt: skip
