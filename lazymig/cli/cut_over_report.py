"""How `lazymig phase cut-over` shows the cut-over, and what dark reads found of each group."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lazymig.cli.output import say, table, verdict, wrapped
from lazymig.control import CutOver, FiguresRecord, GroupFigures, Standing, sum_up
from lazymig.control.figures import SIDES
from lazymig.status.cut_over import describe_cut_over, describe_group, describe_percent, order_groups


def show_cut_over(standing: Standing, cut_over: CutOver, records: Sequence[FiguresRecord]) -> None:
    """Print whose reads V2 answers first, and the figures of each group."""
    wrapped(f"{standing.migration} is in {standing.phase} (epoch {standing.epoch}). {describe_cut_over(cut_over)}")
    if cut_over.dark_share is not None:
        say(f"All processes compare {describe_percent(cut_over.dark_share)} of their reads.")
    for record in records:
        if record.undeclared:
            names = ", ".join(record.undeclared)
            verdict(f"{record.name} does not know the cohorts {names}: V1 answers for them there", good=False)
    groups = sum_up(records)
    if not groups:
        say("No dark reads were published under this cut-over yet.")
        return
    columns = ("group", "side", "reads", "failed", "p50 ms", "p99 ms", "agree", "of")
    title = f"Dark reads of {len(records):,} process{'' if len(records) == 1 else 'es'}"
    table(title, columns, [row for name in order_groups(groups) for row in _make_rows(name, groups[name])])


def _make_rows(name: str, group: GroupFigures) -> Iterator[tuple[str, ...]]:
    compared = group.counts["matched"] + group.counts["mismatched"]
    for side in SIDES:
        figures = group.side(side)
        # The agreement is of both sides: shown once.
        agree = (describe_percent(group.consistency), f"{compared:,}") if side == "v1" else ("", "")
        shown = describe_group(name) if side == "v1" else ""
        latency = (_millis(figures.latency.quantile(0.5)), _millis(figures.latency.quantile(0.99)))
        yield (shown, side.upper(), f"{figures.asked:,}", describe_percent(figures.error_rate), *latency, *agree)


def _millis(elapsed_s: float | None) -> str:
    return "" if elapsed_s is None else f"{elapsed_s * 1000:,.2f}"
