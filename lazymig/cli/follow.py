"""`lazymig follow`: heal what programs outside lazymig change in V1."""

from __future__ import annotations

from typing import Annotated

import attrs
from attrs import frozen
from cyclopts import Parameter
from cyclopts.validators import Number

from lazymig.cli.follow_line import StatusLine, describe
from lazymig.cli.loading import opened
from lazymig.cli.options import App, Debug, Exit, Flag, Json
from lazymig.cli.output import say, show_json, wrapped
from lazymig.cli.stopping import stopped_by_signals
from lazymig.cli.sweep_options import Count, Positive
from lazymig.follower import Follower, FollowReport


@frozen(kw_only=True)
class Options:
    """What a follower does, and how fast.

    Args:
        batch_size: Changes per batch.
        concurrency: Entities that are healed at the same time.
        max_time: Seconds after which it stops, as by Ctrl-C.
        no_catch_up: Do not verify both collections at the first start. What was changed before it is not found then.
    """

    batch_size: Count = 1000
    concurrency: Annotated[int, Parameter(validator=Number(gte=1))] = 32
    max_time: Positive = None
    no_catch_up: Flag = False


async def follow(
    *,
    app: App,
    options: Annotated[Options, Parameter(name="*")] = Options(),
    json: Json = False,
    debug: Debug = False,
) -> int:
    """Heal what programs that write V1 without lazymig change, as soon as they do.

    Needs a replica set. It runs until it is stopped (Ctrl-C, SIGTERM) and continues from its position when it is
    started again. One process follows at a time; others wait and take over. At the first start, and where the server no
    longer has the changes after the position, both collections are verified and repaired.

    The state goes to stderr, the report to stdout. The exit code is 3 when an entity could not be healed: it has a dead
    letter.
    """
    with StatusLine(in_json=json) as line:
        async with opened(app, in_json=json) as repository:
            follower = Follower(
                repository, batch_size=options.batch_size, concurrency=options.concurrency,
                catch_up=not options.no_catch_up, max_time_s=options.max_time, on_progress=line.update,
            )  # fmt: skip
            with stopped_by_signals(follower.stop):
                report = await follower.run()
    if json:
        show_json(attrs.asdict(report))
    else:
        _show(report)
    return Exit.NEEDS_PERSON if report.needs_person else Exit.DONE


def _show(report: FollowReport) -> None:
    """Print the report for a person."""
    say(f"{report.migration}: followed for {report.elapsed_s:.1f} s")
    rogue = ", ".join(f"{name} {count:,}" for name, count in report.rogue.items())
    rows = {
        "changes of V1": f"{report.events:,}",
        "not announced": f"{sum(report.rogue.values()):,}" + (f" ({rogue})" if rogue else ""),
        "entities healed": f"{report.healed:,}",
        "not healed": f"{report.dead:,}",
        "staleness": describe(report),
        "lag at the end": f"{report.lag_s:.2f} s",
        "verifications begun": f"{report.catch_ups:,}",
    }
    for name, value in rows.items():
        say(f"  {name:<30} {value}")
    if report.catching_up:
        wrapped("The verification of both collections is not finished; the next run continues it.")
    if report.dead:
        wrapped("Some documents need a person: lazymig dead-letters list shows which ones, and why.")
