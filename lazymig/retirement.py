"""Retirement: V1's end, in steps that can be interrupted anywhere, and undone until V1 is dropped."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from lazymig.control import Control, Standing, parts_of
from lazymig.control.retirement import RetirementRecord
from lazymig.errors import ConfigurationError, PhaseError
from lazymig.loop.clock import SYSTEM_CLOCK, Clock
from lazymig.phases import Phase
from lazymig.repository import Repository, calls_of
from lazymig.retiring.conditions import Condition, Soak, check_all, check_phase, find_conditions
from lazymig.retiring.disposal import DROP, archive, check_drop, drop, is_dropped
from lazymig.retiring.fields import check_removal, check_whole, remove_fields
from lazymig.retiring.ground import BEFORE_THE_DROP, Ground
from lazymig.retiring.quarantine import QUARANTINE, check_quarantine, quarantine, restore
from lazymig.retiring.reduction import ReduceOptions, Reduction, check_strip, finish, reduce
from lazymig.retiring.report import RetirementReport, make_report
from lazymig.retiring.watching import StrayWatch, WatchReport
from lazymig.routes.stages import FixedStages
from lazymig.shapes.migration import is_finished
from lazymig.surroundings.checking import check_apart

__all__ = ["Condition", "Reduction", "Retirement", "RetirementReport", "WatchReport"]

V1 = TypeVar("V1")
V2 = TypeVar("V2")

_WEEK_S = 7 * 24 * 3600.0


class Retirement(Generic[V1, V2]):
    """Takes V1 out of service for good, once the migration is in `V2_ONLY`.

    The steps, in their order: `watch` beside the service; `quarantine`, which renames V1 and which `restore` undoes;
    `archive`, if a copy is wanted; `drop`; `reduce`, which leaves V2's documents their revision only; `finish`. Each is
    recorded before and after it, so that it can be interrupted anywhere and called again.

    With `Migration(part=True)` V1's documents stay: there is no quarantine, and `drop` removes the migration's fields
    from them, in batches, beside programs that write other fields.

    Args:
        repository: The repository. Its V1 need not exist any more.
        control: The control collection; by default the one that the repository follows, or `lazymig_control` in V2's
            database.
        soak_s: Seconds for which V1 must have been quiet, before quarantine and again before it is dropped.
        unwatched: Accept that nothing shows stray writes, such as on a server without change streams. Then only the
            time counts.
        by: Who works, for the record.
        clock: The source of time, for tests.

    Raises:
        ConfigurationError: If the control collection is one of the two.
    """

    def __init__(
        self,
        repository: Repository[V1, V2],
        *,
        control: Control | None = None,
        soak_s: float = _WEEK_S,
        unwatched: bool = False,
        by: str = "",
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        calls = calls_of(repository)
        control = calls.choose_control(control, clock)
        check_apart(control, calls.pair.v1, calls.pair.bodies)
        self._stages = calls.stages
        self._soak = Soak(soak_s, unwatched)
        self._stopped = False
        self._watch: StrayWatch[V1, V2] | None = None
        self._ground: Ground[V1, V2] = Ground(
            name=repository.migration.name, pair=calls.pair, parts=parts_of(control), clock=clock, by=by,
            stopping=lambda: self._stopped,
        )  # fmt: skip

    @property
    def name(self) -> str:
        """The migration's name, by which a drop is confirmed."""
        return self._ground.name

    def stop(self) -> None:
        """Let `watch`, `reduce` or a drop of fields record how far it is, and return. A signal handler may call it."""
        self._stopped = True
        if self._watch is not None:
            self._watch.stop()

    async def report(self) -> RetirementReport:
        """Look at what would go and what blocks it. Changes nothing.

        Returns:
            What was found.

        Raises:
            PhaseError: If the migration is not in `V2_ONLY`.
        """
        record, standing = await self._look()
        conditions = await self._find_conditions(record, standing)
        return await make_report(self._ground, record, conditions)

    async def watch(
        self, *, max_time_s: float | None = None, on_progress: Callable[[WatchReport], None] | None = None
    ) -> WatchReport:
        """Watch V1 for programs that still write or read it, until stopped. It repairs nothing.

        It reads V1's changes, ids and operations only, and the server's counts of reads and writes. These show refused
        writes as well, where this user may see them. One process watches at a time; others wait and take over.

        Args:
            max_time_s: Seconds after which it stops, as by `stop`.
            on_progress: Called with what was seen so far, several times a second.

        Returns:
            What this run saw.

        Raises:
            ConfigurationError: If the server has no change streams.
            PhaseError: If the migration is not in `V2_ONLY`.
        """
        await self._look()
        ground = self._ground
        if is_finished(ground.pair.conversions.migration):
            raise PhaseError("watch: this release no longer knows V1; V1 is gone")
        self._watch = StrayWatch(
            ground.pair, ground.parts, ground.clock, max_time_s=max_time_s, on_progress=on_progress
        )
        if self._stopped:
            self._watch.stop()
        return await self._watch.run()

    async def quarantine(self) -> RetirementReport:
        """Rename V1, with its indexes. A program that still uses it finds nothing; one that writes creates it again.

        Returns:
            How far the retirement is.

        Raises:
            PhaseError: If a condition does not hold, which the message names, or this step is done already.
        """
        record, standing = await self._look()
        check_whole(self._ground, "quarantine")
        check_quarantine(record)
        if record.doing != QUARANTINE:
            check_all(await self._find_conditions(record, standing), "quarantine")
        return await self._report(await quarantine(self._ground, record), standing)

    async def restore(self) -> RetirementReport:
        """Give V1 its name back, as it was.

        Returns:
            How far the retirement is.

        Raises:
            PhaseError: If V1 is not in quarantine, which a part of documents never is, or its name is taken.
        """
        record, standing = await self._look()
        check_whole(self._ground, "restore")
        return await self._report(await restore(self._ground, record), standing)

    async def archive(self, into: str | Path) -> RetirementReport:
        """Copy V1 in quarantine, and compare the copy with it by count and checksum.

        Where entities are parts of documents, their ids and fields are copied, from V1 as it stands.

        Args:
            into: A collection, as "name" or "database.name", or a file: a `Path` that ends with `.bson`, or `.bson.gz`
                to compress it. `mongorestore` and `bson.decode_file_iter` read the file. Neither may exist.

        Returns:
            How far the retirement is.

        Raises:
            ConfigurationError: If `into` names no such place.
            LazymigError: If the copy is not what V1 holds.
            PhaseError: If V1 is not in quarantine, or the place is taken.
        """
        record, standing = await self._look()
        return await self._report(await archive(self._ground, record, into), standing)

    async def drop(self, *, confirm: str) -> RetirementReport:
        """Drop V1 in quarantine, for good; or remove its fields, where entities are parts of documents.

        Args:
            confirm: The migration's name.

        Returns:
            How far the retirement is.

        Raises:
            ConfigurationError: If `confirm` is another text.
            PhaseError: If a condition does not hold, which the message names; or the archive is not what V1 holds.
        """
        record, standing = await self._look()
        if self._ground.is_part:
            check_removal(self._ground, record, confirm)
            if record.doing != DROP:
                check_all(await self._find_conditions(record, standing), DROP)
            return await self._report(await remove_fields(self._ground, record), standing)
        check_drop(self._ground, record, confirm)
        if not await is_dropped(self._ground, record):
            check_all(await self._find_conditions(record, standing), DROP)
        return await self._report(await drop(self._ground, record), standing)

    async def reduce(
        self,
        *,
        grace_s: float = 3600,
        strip: bool = False,
        confirm: str | None = None,
        on_progress: Callable[[Reduction], None] | None = None,
    ) -> Reduction:
        """Leave V2's documents the revision that optimistic locking needs, beside the running service.

        It may be called again later, to remove the tombstones that deletes have left since.

        Args:
            grace_s: The age in seconds at which tombstones are removed.
            strip: Take `_lazymig` out as a whole, to leave lazymig. Stop every process first.
            confirm: For `strip`, the migration's name.
            on_progress: Called after each batch.

        Returns:
            What was done.

        Raises:
            ConfigurationError: If `strip` is not confirmed, or `grace_s` is negative.
            PhaseError: If V1 is not dropped, or processes of the fleet still run while `strip` is asked for.
        """
        if grace_s < 0:
            raise ConfigurationError("grace_s: pass 0 seconds or more")
        record, _ = await self._look()
        if strip:
            await check_strip(self._ground, confirm)
        options = ReduceOptions(grace_s=grace_s, strip=strip, on_progress=on_progress)
        return (await reduce(self._ground, record, options))[1]

    async def finish(self) -> RetirementReport:
        """Remove V2's fence, lazymig's indexes of V2, and the migration's rows in the control collection.

        The phase stays recorded, so that processes with `phase=control` work on, and so does this end.

        Returns:
            How far the retirement is.

        Raises:
            LazymigError: If V2's fence cannot be removed; the message says what to change.
            PhaseError: If V2 is not reduced.
        """
        record, standing = await self._look()
        return await self._report(await finish(self._ground, record), standing)

    async def _look(self) -> tuple[RetirementRecord, Standing | None]:
        standing = await self._ground.parts.phases(self._ground.name).find()
        fixed: Phase | None = self._stages.now.phase if isinstance(self._stages, FixedStages) else None
        check_phase(standing, fixed)
        return await self._ground.find(), standing

    async def _find_conditions(self, record: RetirementRecord, standing: Standing | None) -> list[Condition]:
        if record.stage not in BEFORE_THE_DROP:
            return []
        return await find_conditions(self._ground, record, standing, self._soak)

    async def _report(self, record: RetirementRecord, standing: Standing | None) -> RetirementReport:
        return await make_report(self._ground, record, await self._find_conditions(record, standing))
