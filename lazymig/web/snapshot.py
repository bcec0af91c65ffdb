"""What the page shows at one moment: looked up once, for all who watch."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from attrs import field, frozen

from lazymig.control import FiguresRecord, Moved, RunRecord
from lazymig.control.journal import Act
from lazymig.control.samples import Sample
from lazymig.status.looking import Status
from lazymig.web.seen import ErrandSeen


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
        errand: What is under way by order of somebody, or has just ended.
        trouble: Why this is not newer, in words; empty where it is as new as it should be.
        age_s: How old it was when it was shown, in seconds; 0 unless there is trouble.
    """

    status: Status
    moves: Sequence[Moved] = ()
    runs: Sequence[tuple[str, RunRecord]] = ()
    figures: Sequence[FiguresRecord] = ()
    samples: Sequence[Sample] = ()
    acts: Sequence[Act] = ()
    errand: ErrandSeen | None = None
    trouble: str = ""
    age_s: float = 0.0
    #: When new samples were looked for, and when all were read.
    samples_read_at: datetime = field(default=datetime.min, repr=False)
    samples_all_read_at: datetime = field(default=datetime.min, repr=False)
