"""The panel of what compares both sides: verifications, and the dark reads of the live service."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from attrs import frozen

from lazymig.control import FiguresRecord, GroupFigures, sum_up
from lazymig.control.figures import SIDES
from lazymig.status.cut_over import describe_group, describe_percent, order_groups
from lazymig.status.looking import Status
from lazymig.status.proof import Proof, describe_proof
from lazymig.status.words import VERDICTS, describe_age, describe_dark_log, describe_verified
from lazymig.stores.verdicts import Verdict
from lazymig.web.snapshot import Snapshot
from lazymig.web.view.parts import Facts, Table, make_table


@frozen
class VerificationView:
    """The panel's text."""

    sentences: tuple[str, ...]
    mismatches: Table | None
    facts: Facts
    figures: Table | None
    #: Processes that do not know a cohort.
    warnings: tuple[str, ...]
    proof: Proof


def view_verification(snapshot: Snapshot) -> VerificationView:
    """Return what the panel of the verification shows."""
    found = snapshot.status
    return VerificationView(
        tuple(_list_sentences(found)), _table_mismatches(found), _list_ages(found), _table_figures(snapshot.figures),
        tuple(_list_warnings(snapshot.figures)), describe_proof(found.verified),
    )  # fmt: skip


def _list_sentences(found: Status) -> Iterator[str]:
    if found.verified.last is None:
        yield "No verification has run: nothing is proven."
    yield from describe_verified(found.verified)
    yield from describe_dark_log(found)


def _table_mismatches(found: Status) -> Table | None:
    counts = found.verified.mismatches
    rows = [(verdict, VERDICTS[Verdict(verdict)], f"{count:,}") for verdict, count in counts.items()]
    return make_table("What does not agree", "verdict | ~meaning | #count", rows)


def _list_ages(found: Status) -> Facts:
    oldest = {"oldest mismatch": found.verified.oldest, "oldest of dark reads": found.dark_reads.oldest}
    return {name: describe_age(at, found.at) for name, at in oldest.items() if at is not None}


def _table_figures(records: Sequence[FiguresRecord]) -> Table | None:
    groups = sum_up(records)
    rows = [row for name in order_groups(groups) for row in _list_rows(describe_group(name), groups[name])]
    caption = f"Dark reads of {len(records):,} process{'' if len(records) == 1 else 'es'}"
    return make_table(caption, "~group | side | #reads | #failed | #p50 ms | #p99 ms | #agree | #of", rows)


def _list_rows(name: str, group: GroupFigures) -> Iterator[tuple[str, ...]]:
    compared = group.counts["matched"] + group.counts["mismatched"]
    for side in SIDES:
        figures = group.side(side)
        latency = (_millis(figures.latency.quantile(0.5)), _millis(figures.latency.quantile(0.99)))
        # The agreement is of both sides: shown once.
        agree = (describe_percent(group.consistency), f"{compared:,}") if side == "v1" else ("", "")
        yield (name, side.upper(), f"{figures.asked:,}", describe_percent(figures.error_rate), *latency, *agree)


def _millis(elapsed_s: float | None) -> str:
    return "" if elapsed_s is None else f"{elapsed_s * 1000:,.2f}"


def _list_warnings(records: Sequence[FiguresRecord]) -> Iterator[str]:
    for record in records:
        if record.undeclared:
            yield f"{record.name} does not know the cohorts {', '.join(record.undeclared)}: V1 answers for them there"
