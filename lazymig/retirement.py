"""Retirement: V1's end, in steps that can be interrupted anywhere, and undone until V1 is dropped."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Generic, TypeVar

from lazymig.control import Control, Note, Standing, parts_of
from lazymig.control.retirement import RetirementRecord
from lazymig.errors import ConfigurationError, PhaseError
from lazymig.loop.clock import SYSTEM_CLOCK, Clock
from lazymig.phases import Phase
from lazymig.repository import Repository, calls_of
from lazymig.retiring.conditions import Condition, Soak, check_phase
from lazymig.retiring.course import Course
from lazymig.retiring.ground import Ground, Work
from lazymig.retiring.in_place.course import OneCollection
from lazymig.retiring.in_place.ground import PlaceGround
from lazymig.retiring.reduction import ReduceOptions, Reduction
from lazymig.retiring.report import RetirementReport
from lazymig.retiring.two_collections import TwoCollections
from lazymig.retiring.watching import StrayWatch, WatchReport
from lazymig.routes.calls import Calls
from lazymig.routes.stages import FixedStages
from lazymig.surroundings.checking import check_apart
from lazymig.switching.waiting import RollCall

__all__ = ["Condition", "Reduction", "Retirement", "RetirementReport", "WatchReport"]

V1 = TypeVar("V1")
V2 = TypeVar("V2")

_WEEK_S = 7 * 24 * 3600.0
#: Seconds that processes may take to acknowledge what they follow.
_ACKNOWLEDGE_S = 90.0


class Retirement(Generic[V1, V2]):
    """Takes V1 out of service for good, once the migration is in `V2_ONLY`.

    The steps, in their order: `watch` beside the service; `quarantine`, which renames V1 and which `restore` undoes;
    `archive`, if a copy is wanted; `drop`; `reduce`, which leaves V2's documents their revision only; `finish`. Each is
    recorded before and after it, so that it can be interrupted anywhere and called again.

    Where one document carries both shapes, there are `watch`, `archive`, `reduce`, which takes V1's own fields out of
    the documents and lifts `Migration.v2_within`, and `finish`. Nothing is renamed or dropped.

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
        check_apart(control, *calls.collections)
        self._stages = calls.stages
        self._stopped = False
        self._watch: StrayWatch | None = None
        self._work = Work(
            name=repository.migration.name, parts=parts_of(control), clock=clock, by=by, stopping=lambda: self._stopped
        )
        self._course = _choose_course(calls, self._work, Soak(soak_s, unwatched))

    @property
    def name(self) -> str:
        """The migration's name, by which a drop is confirmed."""
        return self._work.name

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
        return await self._course.report(record, standing)

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
        standing = await self._work.parts.phases(self.name).find()
        await self._course.find()
        scope = self._course.check_watch(self._phase(standing))
        self._watch = StrayWatch(
            scope, self._work.parts, self._work.clock, max_time_s=max_time_s, on_progress=on_progress
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
        return await self._course.report(await self._course.quarantine(record, standing), standing)

    async def restore(self) -> RetirementReport:
        """Give V1 its name back, as it was.

        Returns:
            How far the retirement is.

        Raises:
            PhaseError: If V1 is not in quarantine, which a part of documents never is, or its name is taken.
        """
        record, standing = await self._look()
        return await self._course.report(await self._course.restore(record), standing)

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
        return await self._course.report(await self._course.archive(record, into), standing)

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
        return await self._course.report(await self._course.drop(record, standing, confirm), standing)

    async def reduce(
        self,
        *,
        grace_s: float = 3600,
        strip: bool = False,
        confirm: str | None = None,
        on_progress: Callable[[Reduction], None] | None = None,
    ) -> Reduction:
        """Leave V2's documents the revision that optimistic locking needs, beside the running service.

        Where one document carries both shapes, V1's own fields go for good, once the conditions hold; a document that
        cannot be reduced stays as it is, and the result says why.

        It may be called again later, to remove the tombstones that deletes have left since.

        Args:
            grace_s: The age in seconds at which tombstones are removed.
            strip: Take `_lazymig` out as a whole, to leave lazymig. Stop every process first.
            confirm: For `strip`, the migration's name; also where V1's fields go.
            on_progress: Called after each batch.

        Returns:
            What was done.

        Raises:
            ConfigurationError: If what must be confirmed is not, or `grace_s` is negative.
            PhaseError: If V1 is not dropped, or processes of the fleet still run while `strip` is asked for.
        """
        if grace_s < 0:
            raise ConfigurationError("grace_s: pass 0 seconds or more")
        record, standing = await self._look()
        options = ReduceOptions(grace_s=grace_s, strip=strip, confirm=confirm, on_progress=on_progress)
        return await self._course.reduce(record, standing, options, self._announce)

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
        return await self._course.report(await self._course.finish(record), standing)

    async def _look(self) -> tuple[RetirementRecord, Standing | None]:
        standing = await self._work.parts.phases(self.name).find()
        check_phase(self._phase(standing))
        return await self._course.find(), standing

    def _phase(self, standing: Standing | None) -> Phase | None:
        """Return the phase by the record or, without one, by the repository."""
        if standing is not None:
            return standing.phase
        return self._stages.now.phase if isinstance(self._stages, FixedStages) else None

    async def _announce(self, standing: Standing, settings: Mapping[str, object], what: str) -> Standing:
        """Record what all processes follow, and wait until each has acknowledged it. Raises `PhaseError`."""
        note = Note(self._work.by, "lazymig retire reduce", what)
        phases = self._work.parts.phases(self.name)
        changed = await phases.change(standing, hold=standing.hold, settings=settings, note=note)
        if changed is None:
            raise PhaseError("the phase's record has changed meanwhile: look at lazymig phase show, and try again")
        await RollCall(self._work.parts, self.name, lambda _: None).wait(changed.epoch, at_most_s=_ACKNOWLEDGE_S)
        return changed


async def asks_for_name(retirement: Retirement[V1, V2]) -> bool:
    """Return whether `reduce` needs the migration's name, for lazymig's own tools. Raises `PhaseError`."""
    record, _ = await retirement._look()
    return retirement._course.asks_for_name(record)


def _choose_course(calls: Calls[V1, V2], work: Work, soak: Soak) -> Course:
    """Return the steps of the repository's layout."""
    name, parts, clock, by, stopping = work.name, work.parts, work.clock, work.by, work.stopping
    if calls.place is not None:
        return OneCollection(
            PlaceGround(name=name, parts=parts, clock=clock, by=by, stopping=stopping, place=calls.place), soak
        )
    return TwoCollections(Ground(name=name, parts=parts, clock=clock, by=by, stopping=stopping, pair=calls.pair), soak)
