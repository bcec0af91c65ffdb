"""What the page shows at one moment: looked up once, for all who watch."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import frozen

from lazymig.control import Control, FiguresRecord, Moved, RunRecord, Standing, parts_of, read_cut_over
from lazymig.errors import PhaseError
from lazymig.status.looking import SHOWN, STEERED, AnyRepository, Status, control_of, looked_up
from lazymig.switching.case import Demands

#: The kinds of passes whose runs are shown.
KINDS = STEERED
#: How many changes of the phase and beside it are shown.
_MOVES = 50


@frozen
class Snapshot:
    """A migration at one moment.

    Attributes:
        status: What `lazymig status` shows.
        moves: The changes of the phase and beside it, oldest first.
        runs: The last runs of each kind of pass, newest first, with their kinds.
        figures: What the dark reads of each process found by group, under the present cut-over.
        samples: What the charts draw, oldest first.
        acts: What was done by the page, newest first.
        trouble: Why this is not newer, in words; empty where it is as new as it should be.
        age_s: How old it was when it was shown, in seconds; 0 unless there is trouble.
    """

    status: Status
    moves: Sequence[Moved] = ()
    runs: Sequence[tuple[str, RunRecord]] = ()
    figures: Sequence[FiguresRecord] = ()
    samples: Sequence[object] = ()
    acts: Sequence[object] = ()
    trouble: str = ""
    age_s: float = 0.0


async def look_up(repository: AnyRepository, demands: Demands, before: Snapshot | None) -> Snapshot:
    """Look everything up. What costs the servers more is taken from `before` while it is young enough."""
    last = None if before is None else before.status
    status = await looked_up(repository, exact=False, before=last, demands=demands)
    control, standing = control_of(repository), status.fleet.standing
    return Snapshot(
        status,
        moves=_list_moves(standing),
        runs=await _find_runs(control, status, before),
        figures=await _find_figures(control, standing),
    )


def _list_moves(standing: Standing | None) -> Sequence[Moved]:
    if standing is None:
        return ()
    return sorted((*standing.history, *standing.changes), key=lambda moved: moved.epoch)[-_MOVES:]


async def _find_runs(control: Control, status: Status, before: Snapshot | None) -> Sequence[tuple[str, RunRecord]]:
    """Find the last runs of all kinds. They are read again only where the status shows that another one has ended."""
    if before is not None:
        last = before.status
        if (last.runs, last.verified.last, last.slow_at) == (status.runs, status.verified.last, status.slow_at):
            return before.runs
    found = [(kind, run) for kind in KINDS for run in await control.history(status.migration, SHOWN, kind=kind)]
    return sorted(found, key=lambda one: one[1].started_at, reverse=True)


async def _find_figures(control: Control, standing: Standing | None) -> Sequence[FiguresRecord]:
    if standing is None:
        return ()
    try:
        cut_over = read_cut_over(standing.settings)
    except PhaseError:
        return ()  # settings that this release cannot read; the warnings of the phase name them
    return await parts_of(control).figures(standing.migration).find(cut_over)
