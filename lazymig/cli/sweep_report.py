"""The report of a sweep for a person."""

from __future__ import annotations

from lazymig.cli.letters import show_letters
from lazymig.cli.output import say, wrapped
from lazymig.status.ids import Names
from lazymig.sweeper import SweepReport

#: How many documents that do not convert a dry run names; --json names more.
_SHOWN = 20


def _foreign(report: SweepReport, dry_run: bool) -> dict[str, str]:
    counts = {"would be adopted" if dry_run else "adopted": report.adopted, "not stored by lazymig": report.foreign}
    return {name: f"{count:,}" for name, count in counts.items() if count}


def _marks(report: SweepReport) -> dict[str, str]:
    return {"healed": f"{report.healed:,}", "purged": f"{report.purged:,}"}


def _unmoved(report: SweepReport) -> dict[str, str]:
    counts = {"waiting for users": report.waiting, "not taken over": report.left}
    return {name: f"{count:,}" for name, count in counts.items() if count}


def show_report(report: SweepReport, *, dry_run: bool) -> None:
    """Print the report for a person."""
    ended = "finished" if report.finished else "stopped early; run it again to continue"
    per_s = report.scanned / report.elapsed_s if report.elapsed_s else 0
    say(f"{report.migration}: {ended}, {report.elapsed_s:.1f} s, {per_s:,.0f} documents/s")
    shared = report.finished and report.scanned < report.total
    others = " (earlier runs or other processes did the rest)" if shared else ""
    one = report.in_place
    rows = {
        "scanned": f"{report.scanned:,} of about {report.total:,}{others}",
        "would be migrated" if dry_run else "migrated": f"{report.migrated:,}",
        **({"of these by the server": f"{report.on_server:,}"} if report.on_server else {}),
        "in V2 before": f"{report.present:,} (by reads, writes and earlier sweeps)",
        "moved by clients meanwhile": f"{report.moved_by_clients:,}",
        "converted again": f"{report.reconverted:,} (bodies of older conversions)",
        **({"V1 had changed since": f"{report.healed:,} (by other programs)"} if one else _marks(report)),
        "not movable": f"{report.dead:,}",
        **_unmoved(report),
        **_foreign(report, dry_run),
        "remaining, about": f"{report.remaining:,}",
        **({} if one else {"dirty (open writes)": f"{report.dirty:,}"}),
        # A dry run records no dead letters, so there are none that are open.
        "need a person" if dry_run else "open dead letters": f"{report.dead_letters:,}",
    }
    for name, value in rows.items():
        say(f"  {name:<30} {value}")
    for limit in report.limits:
        wrapped(f"{limit[0].upper()}{limit[1:]}.")
    for warning in report.warnings:
        say(f"Warning: {warning}")
    if report.foreign:
        say("V2 holds documents without _lazymig. sweep --adopt replaces those that V1 has; remove the others.")
    if report.dead_letters and dry_run:
        named = report.not_movable[:_SHOWN]
        say("")
        show_letters(f"Do not convert: {len(named):,} of {report.dead:,}", named, Names(one.id for one in named))
        say("These documents do not convert. A sweep would record a dead letter for each and move all others.")
    elif report.dead_letters:
        say("Some documents need a person: lazymig dead-letters list shows which ones, and why.")
