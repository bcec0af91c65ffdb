"""Looking up what the page shows. At rest a look sends about twenty statements, each by a key or an index.

What costs the servers more (samples of documents, checks of the collections, all gates) is repeated every thirty
seconds at most, beside the other looks, and after what people did. The runs are read again only where the status shows
that one has ended; of the samples only those that came since, every ten seconds.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from typing import Final

from attrs import evolve

from lazymig.control import Control, FiguresRecord, Moved, RunRecord, Standing, parts_of, read_cut_over
from lazymig.control.samples import Sample
from lazymig.status.looking import SHOWN, AnyRepository, Status, control_of, looked_up
from lazymig.status.recorded import STEERED
from lazymig.status.slowly import Chooser, Recalled, Slow, look_when_due
from lazymig.switching.case import Demands
from lazymig.web.snapshot import Snapshot

#: How many changes of the phase and beside it are shown, and how many acts.
MOVES: Final = 50
ACTS: Final = 20
#: How often new samples are looked for, and how often all are read: older ones give way to coarser ones.
_NEW_SAMPLES: Final = timedelta(seconds=10)
_ALL_SAMPLES: Final = timedelta(minutes=10)


async def look_up(
    repository: AnyRepository, demands: Demands, before: Snapshot | None, choose: Chooser = look_when_due
) -> Snapshot:
    """Look everything up. What costs the servers more is taken from `before` while it is young enough."""
    acts = await parts_of(control_of(repository)).journal(repository.migration.name).find_last(ACTS)
    acted = before is not None and before.acts != acts

    async def choose_now(known: Recalled, look: Callable[[], Awaitable[Slow]]) -> Slow:
        # What people did may open or close gates: then all is looked up again.
        return await choose(evolve(known, moved=known.moved or acted), look)

    last = None if before is None else before.status
    status = await looked_up(repository, exact=False, before=last, demands=demands, choose=choose_now)
    control, standing = control_of(repository), status.fleet.standing
    samples, read_at, all_read_at = await _find_samples(control, status, before)
    return Snapshot(
        status,
        moves=_list_moves(standing),
        runs=await _find_runs(control, status, before),
        figures=await _find_figures(control, standing),
        samples=samples,
        acts=acts,
        samples_read_at=read_at,
        samples_all_read_at=all_read_at,
    )


def _list_moves(standing: Standing | None) -> Sequence[Moved]:
    if standing is None:
        return ()
    return sorted((*standing.history, *standing.changes), key=lambda moved: moved.epoch)[-MOVES:]


async def _find_runs(control: Control, status: Status, before: Snapshot | None) -> Sequence[tuple[str, RunRecord]]:
    if before is not None:
        last = before.status
        if (last.runs, last.verified.last, last.slow_at) == (status.runs, status.verified.last, status.slow_at):
            return before.runs
    found = [(kind, run) for kind in STEERED for run in await control.history(status.migration, SHOWN, kind=kind)]
    return sorted(found, key=lambda one: one[1].started_at, reverse=True)


async def _find_figures(control: Control, standing: Standing | None) -> Sequence[FiguresRecord]:
    if standing is None:
        return ()
    return await parts_of(control).figures(standing.migration).find(read_cut_over(standing.settings))


async def _find_samples(
    control: Control, status: Status, before: Snapshot | None
) -> tuple[Sequence[Sample], datetime, datetime]:
    """Find the samples; return when new ones were looked for, and when all of them were read."""
    samples = parts_of(control).samples(status.migration)
    if before is None or not timedelta(0) <= status.at - before.samples_all_read_at < _ALL_SAMPLES:
        return tuple(await samples.find()), status.at, status.at
    if timedelta(0) <= status.at - before.samples_read_at < _NEW_SAMPLES:
        return before.samples, before.samples_read_at, before.samples_all_read_at
    newest = before.samples[-1].at if before.samples else None
    newer = await samples.find(newest)
    return (*before.samples, *newer), status.at, before.samples_all_read_at
