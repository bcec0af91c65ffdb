"""The panel of the history: changes of the phase, runs, and what people ordered by the page."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from attrs import frozen

from lazymig.control import Moved, RunRecord
from lazymig.control.journal import Act
from lazymig.status.words import describe_counts, describe_moment
from lazymig.web.snapshot import Snapshot
from lazymig.web.view.parts import Table, make_table

CUT_OFF = "cut off: it is not known whether it was done; see what stands, and order it again if it was not"
#: How many rows of each table are shown.
_SHOWN = 15


@frozen
class HistoryView:
    """The panel's text."""

    moves: Table | None
    acts: Table | None
    runs: Table | None


def view_history(snapshot: Snapshot) -> HistoryView:
    """Return what the panel of the history shows, the newest first."""
    return HistoryView(_table_moves(snapshot.moves), _table_acts(snapshot), _table_runs(snapshot.runs))


def _table_moves(moves: Sequence[Moved]) -> Table | None:
    rows = [
        (describe_moment(one.at), str(one.before or ""), one.what or str(one.after), one.by, one.why)
        for one in reversed(moves[-_SHOWN:])
    ]
    return make_table("Steps, the last first", "when | from | ~to | ~by | ~why", rows)


def _table_acts(snapshot: Snapshot) -> Table | None:
    rows = [
        (describe_moment(one.at), one.action, one.what, one.by, _describe_outcome(one, snapshot.status.at))
        for one in snapshot.acts[:_SHOWN]
    ]
    return make_table("Ordered by this page, the last first", "when | action | ~what | ~by | ~outcome", rows)


def _table_runs(runs: Sequence[tuple[str, RunRecord]]) -> Table | None:
    rows = [
        (
            describe_moment(run.started_at), kind, f"{(run.ended_at - run.started_at).total_seconds():,.1f}",
            "finished" if run.finished else "stopped early", describe_counts(run),
        )
        for kind, run in runs[:_SHOWN]
    ]  # fmt: skip
    return make_table("Runs, the last first", "started | pass | #seconds | ended | ~counts", rows)


def _describe_outcome(act: Act, at: datetime) -> str:
    if act.ended_at is None:
        return "under way" if act.is_under_way(at) else CUT_OFF
    return act.outcome
