"""`lazymig rewrite`: store V1's documents of older versions in the newest one, in place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import attrs
from attrs import frozen
from cyclopts import Parameter

from lazymig.cli.failures import Unusable
from lazymig.cli.letters import show_letters
from lazymig.cli.loading import opened
from lazymig.cli.options import App, Debug, Exit, Flag, Json
from lazymig.cli.output import say, show_json
from lazymig.cli.progress import Standing, describe_throttle, reporter
from lazymig.cli.stopping import stopped_by_signals
from lazymig.cli.sweep_options import Count, Positive, Text, parse_shard
from lazymig.passes.helm import is_pause
from lazymig.repository import calls_of
from lazymig.rewriter import Rewriter, RewriteReport
from lazymig.status.ids import Names
from lazymig.status.letters import as_object
from lazymig.status.versions import describe_deletable, describe_versions
from lazymig.sweeping.rewrite import check_layout

#: How many documents that cannot be rewritten are named; --json names more.
_SHOWN = 20


@frozen(kw_only=True)
class Options:
    """What is rewritten, and how fast.

    Args:
        batch_size: Documents per batch.
        concurrency: Batches in flight at the same time.
        rate: Documents per second at most. Without it there is no limit.
        max_time: Seconds after which it stops, as by Ctrl-C.
        shard: I/N: only every N-th partition, starting at the I-th (0 to N - 1).
        dry_run: Bring every document up and write nothing.
    """

    batch_size: Count = 1000
    concurrency: Count = 2
    rate: Positive = None
    max_time: Positive = None
    shard: Text = None
    dry_run: Flag = False


async def rewrite(
    *,
    app: App,
    options: Annotated[Options, Parameter(name="*")] = Options(),
    json: Json = False,
    debug: Debug = False,
) -> int:
    """Store V1's documents of older versions in the newest version, in place.

    Needs lazymig.upcasters(..., persist=True). A document is changed only while it is as it was read. A run can be
    stopped (Ctrl-C, SIGTERM) and continues from its checkpoint; several processes may share it. Documents that cannot
    be rewritten stay as they are, and the exit code is then 3.

    Progress goes to stderr, the report to stdout.
    """
    shard = parse_shard(options.shard)
    with reporter("rewrite", as_json=json) as shown:
        update: Callable[[RewriteReport], None] = lambda report: shown.update(standing(report))  # noqa: E731
        async with opened(app, in_json=json) as repository:
            check_layout(calls_of(repository))
            chain = repository.migration.upcasters
            if chain is None or not (chain.persist or options.dry_run):
                raise Unusable(
                    "lazymig rewrite needs a migration with lazymig.upcasters(..., persist=True); with --dry-run, one "
                    "with lazymig.upcasters(...)"
                )
            rewriter = Rewriter(
                repository, batch_size=options.batch_size, concurrency=options.concurrency, rate_limit=options.rate,
                max_time_s=options.max_time, shard=shard, dry_run=options.dry_run, on_progress=update,
            )  # fmt: skip
            with stopped_by_signals(rewriter.stop):
                report = await rewriter.run()
    if json:
        names = Names(letter.id for letter in report.failures)
        show_json({**attrs.asdict(report), "failures": [as_object(letter, names) for letter in report.failures]})
    else:
        _show(report, dry_run=options.dry_run)
    return Exit.NEEDS_PERSON if report.needs_person else Exit.DONE


def standing(report: RewriteReport) -> Standing:
    """Return a run's progress in the form that reporters show."""
    counts = {"rewritten": report.rewritten, "newer": report.newer, "failed": report.failed}
    note = describe_throttle(report.throttle)
    return Standing(report.scanned, report.total, counts, note=note, paused=is_pause(report.throttle))


def _show(report: RewriteReport, *, dry_run: bool) -> None:
    ended = "finished" if report.finished else "stopped early; run it again to continue"
    per_s = report.scanned / report.elapsed_s if report.elapsed_s else 0
    say(f"{report.migration}: {ended}, {report.elapsed_s:.1f} s, {per_s:,.0f} documents/s")
    rows = {
        "scanned": f"{report.scanned:,} of about {report.total:,}",
        "would be rewritten" if dry_run else "rewritten": f"{report.rewritten:,}",
        "newer than this release": f"{report.newer:,}",
        "written by clients meanwhile": f"{report.moved_by_clients:,}",
        "changed again and again": f"{report.contended:,}",
        "cannot be rewritten": f"{report.failed:,}",
        **({} if report.versions is None else describe_versions(report.versions)),
    }
    for name, value in rows.items():
        say(f"  {name:<30} {value}")
    if report.versions is not None:
        say(describe_deletable(report.versions))
    if report.failed:
        named = report.failures[:_SHOWN]
        say("")
        show_letters(f"Cannot be rewritten: {len(named):,} of {report.failed:,}", named, Names(one.id for one in named))
