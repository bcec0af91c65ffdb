"""The gradual cut-over in words, and what dark reads found of each group, for a program."""

from __future__ import annotations

from collections.abc import Sequence

from lazymig.control import CutOver, FiguresRecord, GroupFigures, Standing, sum_up
from lazymig.control.figures import SIDES, SideName


def describe_cut_over(cut_over: CutOver) -> str:
    """Return whose reads V2 answers first, in a sentence."""
    cohorts = f" and the cohorts {', '.join(cut_over.cohorts)}" if cut_over.cohorts else ""
    return f"In coexist V2 answers first for {describe_percent(cut_over.share)} of the entities{cohorts}."


def describe_percent(part: float | None) -> str:
    """Return a part of 1 in percent; "" where nothing was counted."""
    return "" if part is None else f"{part * 100:.4g} %"


def as_object(standing: Standing, cut_over: CutOver, records: Sequence[FiguresRecord]) -> dict[str, object]:
    """Return the same as a JSON object."""
    return {
        "migration": standing.migration, "phase": standing.phase, "epoch": standing.epoch, "share": cut_over.share,
        "cohorts": list(cut_over.cohorts), "dark_share": cut_over.dark_share, "processes": len(records),
        "undeclared": {record.name: list(record.undeclared) for record in records if record.undeclared},
        "groups": {name: _make_object(group) for name, group in sum_up(records).items()},
    }  # fmt: skip


def _make_object(group: GroupFigures) -> dict[str, object]:
    return {
        "consistency": group.consistency, "counts": dict(group.counts),
        **{side: _make_side(group, side) for side in SIDES},
    }  # fmt: skip


def _make_side(group: GroupFigures, side: SideName) -> dict[str, object]:
    figures = group.side(side)
    p50, p99 = (figures.latency.quantile(share) for share in (0.5, 0.99))
    return {"reads": figures.asked, "error_rate": figures.error_rate, "p50_s": p50, "p99_s": p99}
