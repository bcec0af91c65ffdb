"""The gradual cut-over in words, and what dark reads found of each group, for a program."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from lazymig.control import BY_SHARE, REST, CutOver, FiguresRecord, GroupFigures, Standing, read_cut_over, sum_up
from lazymig.control.figures import SIDES, SideName

_GROUPS = {BY_SHARE: "by share", REST: "the rest"}


def describe_cut_over(cut_over: CutOver) -> str:
    """Return whose reads V2 answers first, in a sentence."""
    cohorts = f" and the cohorts {', '.join(cut_over.cohorts)}" if cut_over.cohorts else ""
    return f"In coexist V2 answers first for {describe_percent(cut_over.share)} of the entities{cohorts}."


def describe_settings(settings: Mapping[str, object]) -> Iterator[str]:
    """Yield what all processes follow beside the phase, where it is not as at the beginning."""
    cut_over, suspect = read_cut_over(settings), settings.get("suspect_since")
    if not cut_over.whole or cut_over.cohorts or cut_over.dark_share is not None:
        yield f"{describe_cut_over(cut_over)} lazymig phase cut-over shows more."
    if settings.get("degrade"):
        yield "In shadow, a write goes to V1 alone while V2 is down; lazymig phase on-outage fail ends that."
    if suspect is not None:
        yield "V2 has missed writes, because it was down: run lazymig verify --repair before coexist."


def describe_group(name: str) -> str:
    """Return what a group of entities is called: a cohort's name, or what is not a cohort."""
    return _GROUPS.get(name, name)


def order_groups(groups: Iterable[str]) -> list[str]:
    """Return the cohorts by their names, and after them what is no cohort."""
    found = set(groups)
    return [*sorted(found - set(_GROUPS)), *(name for name in _GROUPS if name in found)]


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
