"""Sampling calls, comparing them behind their callers, and reporting what was found.

Nothing here raises into a call, and a call waits for nothing but the start of a task. The event loop is shared: what a
comparison computes delays others, by at most one comparison per turn of the loop.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Sequence
from inspect import isawaitable
from typing import Final, Generic, Literal, TypeVar

from lazymig.comparing.comparer import Comparer
from lazymig.comparing.in_place import PartsComparer
from lazymig.control import Control, control_beside, parts_of
from lazymig.control.mismatches import Mismatches
from lazymig.dark.contests import Contest, Look, Outcome, Side, Sides, Twice, TwoSides
from lazymig.dark.figures import Figures
from lazymig.dark.in_place import InOne
from lazymig.dark.log import Log
from lazymig.dark.looking import look_until_settled
from lazymig.dark.notes import Notes
from lazymig.dark.settings import DarkReads, Setup, open_dark_reads
from lazymig.loop.background import Allowance, Background
from lazymig.loop.deadline import Deadline
from lazymig.protocol.in_place.place import Place
from lazymig.protocol.pair import Pair
from lazymig.stores.given import RawId, Store
from lazymig.stores.verdicts import Mismatch
from lazymig.telemetry import (
    DARK_COMPARED,
    DARK_DROPPED,
    DARK_DURATION,
    DARK_FAILED,
    DARK_MATCHED,
    DARK_MISMATCHED,
    DARK_MISSING,
    DARK_MOVED,
    DARK_UNREPORTED,
)

V1 = TypeVar("V1")
V2 = TypeVar("V2")

#: The side that answered where this one is the candidate.
OTHER: Final[dict[Side, Side]] = {"v1": "v2", "v2": "v1"}
_LOGGER = logging.getLogger("lazymig.dark_reads")


class Watch(Generic[V1, V2]):
    """The dark reads of one repository."""

    def __init__(self, ground: Pair[V1, V2] | Place[V1, V2], dark: DarkReads, control: Control | None = None) -> None:
        """`control`: the one that the repository follows, which holds the log where `dark` names none."""
        setup = open_dark_reads(dark, ground.tally)
        self._control = setup.control or control
        self._dark, self._setup = dark, setup
        self._tally, self._clock, name = ground.tally, ground.clock, ground.conversions.migration.name
        self._contest = _open_contest(ground, dark, setup)
        self._beside: Store = ground.store if isinstance(ground, Place) else ground.bodies
        self._log = Log(self._open_mismatches, ground.clock, name, setup.log_max)
        self._background = Background(setup.in_flight_max)
        self._allowance = Allowance(setup.rate_max)
        #: The share that all processes follow; None: what the user set.
        self.share: float | None = None
        #: The errors of failing comparisons that were logged already, by class: one of each is enough.
        self._logged: set[type[BaseException]] = set()

    def _open_mismatches(self) -> Mismatches:
        control = self._control or control_beside(self._beside, self._clock)
        return parts_of(control).mismatches

    def pick(self, ids: Sequence[RawId]) -> Sequence[RawId]:
        """Return the ids whose reads are to be compared. Asked before they are read: a dropped read costs no notes."""
        sampled = self._sample(ids)
        if not sampled:
            return ()
        free = self._allowance.take(min(len(sampled), self._background.free), self._clock.monotonic())
        if free == len(sampled):
            return sampled
        self._tally.count(DARK_DROPPED, len(sampled) - free)
        # From anywhere in the batch, or the ids at its end would never be compared.
        start = int(self._clock.random() * len(sampled)) if free else 0
        return [*sampled, *sampled][start : start + free]

    def _sample(self, ids: Sequence[RawId]) -> Sequence[RawId]:
        share = self._dark.share if self.share is None else self.share
        if share in (0, 1):  # where no random number is needed
            return ids if share else ()
        return [id for id in ids if self._clock.random() < share]

    def compare(
        self,
        ids: Sequence[RawId],
        notes: Notes,
        candidate: Side,
        control_s: float | None = None,
        figures: Figures | None = None,
    ) -> None:
        """Start to compare what a call read with a candidate; return at once.

        `control_s` is how long a read of a single entity took. `figures` counts by group.
        """
        free = min(len(ids), self._background.free)  # others may have started since the ids were picked
        self._tally.count(DARK_DROPPED, len(ids) - free)
        if not free:
            return
        ids, side = ids[:free], "v1" if self._dark.aa else candidate
        if figures is not None:
            figures.note_answers(ids, OTHER[candidate], control_s)
        self._background.start(self._run(ids, notes.only(ids), side, control_s, figures), free)

    @property
    def running(self) -> frozenset[asyncio.Task[None]]:
        """The comparisons that are not over."""
        return self._background.running

    async def drain(self) -> None:
        """Wait for running comparisons, as long as one and its report may take, and cancel the rest."""
        await self._background.drain(2 * self._setup.timeout_s)

    async def _run(
        self, ids: Sequence[RawId], notes: Notes, side: Side, control_s: float | None, figures: Figures | None
    ) -> None:
        looks: dict[RawId, Look] = {}
        try:
            if control_s is not None:
                self._measure("control", control_s)
            async with Deadline(self._setup.timeout_s):
                found = await self._read(ids, notes, side, timed=control_s is not None, figures=figures)
                looking = [self._look(id, sides, looks) for id, sides in found.items()]
                await (looking[0] if len(looking) == 1 else asyncio.gather(*looking))
        except Exception as error:  # whatever it is, the caller has its answer
            self._note(error)
        finally:  # also at the end of the event loop
            self._tally.count(DARK_FAILED, len(ids) - len(looks))
        for id, look in looks.items():
            if figures is not None:
                figures.note_outcome(id, _name(look))
            await self._report(id, look)
        if figures is not None:
            figures.publish()

    async def _read(
        self, ids: Sequence[RawId], notes: Notes, side: Side, *, timed: bool, figures: Figures | None
    ) -> dict[RawId, Sides]:
        started_s = self._clock.monotonic()
        try:
            asked = await self._contest.ask(ids, side)
            if timed:
                await self._contest.answer(ids[0], side, asked, notes)
            if figures is not None:
                figures.note_answers(ids, side, self._clock.monotonic() - started_s if timed else None)
        except (Exception, asyncio.CancelledError):
            if figures is not None:
                figures.note_failure(ids, side)
            raise
        finally:  # one that failed or hung as well: leaving those out would flatter the candidate
            if timed:
                self._measure("candidate", self._clock.monotonic() - started_s)
        return await self._contest.pair_up(ids, asked, notes)

    async def _look(self, id: RawId, sides: Sides, looks: dict[RawId, Look]) -> None:
        try:
            await self._background.wait_for_turn()
            first = await self._contest.judge(id, sides)
            settled = self._contest.atomic
            looks[id] = first if settled else await look_until_settled(self._contest, self._clock, id, first)
        except Exception as error:
            self._note(error)

    async def _report(self, id: RawId, look: Look) -> None:
        count = self._tally.count
        if look.outcome is Outcome.MOVED:
            count(DARK_MOVED)
        elif look.outcome is Outcome.MISSING:
            count(DARK_MISSING)
        else:
            count(DARK_COMPARED)
            count(DARK_MATCHED if look.mismatch is None else DARK_MISMATCHED)
            if look.mismatch is None:
                if self._log.may_hold(id):  # nearly never
                    await self._try(self._log.forget(id))
            else:
                await self._try(self._log.add(look.mismatch))
                await self._try(self._call_hook(look.mismatch))

    async def _try(self, step: Awaitable[None]) -> None:
        try:
            async with Deadline(self._setup.timeout_s):
                await step
        except Exception:
            self._tally.count(DARK_UNREPORTED)
            _LOGGER.exception("a mismatch could not be reported")

    async def _call_hook(self, mismatch: Mismatch) -> None:
        if self._setup.on_mismatch is not None:
            called = self._setup.on_mismatch(mismatch)
            if isawaitable(called):
                await called

    def _note(self, error: BaseException) -> None:
        if type(error) not in self._logged:
            self._logged.add(type(error))
            # Without the message, which may quote a document.
            _LOGGER.warning("a dark read failed: %s (further ones are only counted)", type(error).__name__)

    def _measure(self, side: Literal["control", "candidate"], elapsed_s: float) -> None:
        self._dark.latency[side].record(elapsed_s)
        self._tally.measure(DARK_DURATION, elapsed_s, side=side)


def _open_contest(ground: Pair[V1, V2] | Place[V1, V2], dark: DarkReads, setup: Setup) -> Contest:
    if isinstance(ground, Place):
        comparer = Comparer(ground.conversions, setup.checks, ground.shape)
        return InOne(ground, PartsComparer(comparer), expects_all=setup.expects_all)
    if dark.aa:
        return Twice(ground)
    return TwoSides(ground, Comparer(ground.conversions, setup.checks), expects_all=setup.expects_all)


def _name(look: Look) -> str:
    """Return what a look found, as the counters call it."""
    if look.outcome in (Outcome.MOVED, Outcome.MISSING):
        return look.outcome.name.lower()
    return "matched" if look.mismatch is None else "mismatched"
