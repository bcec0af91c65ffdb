"""What the page shows at one moment: looked up once, for all who watch."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import frozen

from lazymig.control import FiguresRecord, Moved, RunRecord
from lazymig.control.journal import Act
from lazymig.control.samples import Sample
from lazymig.status.looking import AnyRepository, Status, looked_up
from lazymig.switching.case import Demands
from lazymig.web.seen import ErrandSeen


@frozen
class Snapshot:
    """A migration at one moment.

    Attributes:
        status: What `lazymig status` shows.
        moves: The changes of the phase and beside it, oldest first.
        runs: The last runs of each kind of pass, newest first, with their kinds.
        figures: What dark reads found by group, while the cut-over is gradual.
        samples: What the charts draw, oldest first.
        acts: What people ordered by the page, newest first.
        errand: What is under way by order of somebody, or has just ended.
    """

    status: Status
    moves: Sequence[Moved] = ()
    runs: Sequence[tuple[str, RunRecord]] = ()
    figures: Sequence[FiguresRecord] = ()
    samples: Sequence[Sample] = ()
    acts: Sequence[Act] = ()
    errand: ErrandSeen | None = None
    #: Why this is not newer; empty where it is.
    trouble: str = ""


async def look_up(repository: AnyRepository, demands: Demands, before: Snapshot | None) -> Snapshot:
    """Look everything up. What costs the servers more is taken from `before` while it is young enough."""
    last = None if before is None else before.status
    status = await looked_up(repository, exact=False, before=last, demands=demands)
    return Snapshot(status)
