"""`lazymig phase cut-over | on-outage`: what all processes of a fleet follow beside the phase, changed at run time."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Annotated, Literal

import attrs
from cyclopts import Parameter
from cyclopts.validators import Number

from lazymig.cli.cut_over_report import show_cut_over
from lazymig.cli.failures import Unusable
from lazymig.cli.loading import opened
from lazymig.cli.options import App, Debug, Exit, Flag, Json, examples
from lazymig.cli.output import remark, say, show_json
from lazymig.cli.phase import phase
from lazymig.cli.phase_options import Author
from lazymig.control import CutOver, Parts, cohorts_of, parts_of, read_cut_over, set_cut_over
from lazymig.control.cohorts import check_cohort_name
from lazymig.errors import ConfigurationError
from lazymig.repository import Repository, calls_of
from lazymig.status.cut_over import as_object
from lazymig.switch import Switch, mover_of
from lazymig.switching.outages import allow_degrading, forbid_degrading

__all__ = ["phase"]

_APP = "--app shop.people:repository"
_Author = Annotated[Author, Parameter(name="*")]
_Share = Annotated[float | None, Parameter(validator=Number(gte=0, lte=1), show_default=False)]


@attrs.frozen(kw_only=True)
class Changes:
    """What all processes follow from now on. What is not given stays.

    Args:
        share: The part of all entities for which V2 answers first, from 0 to 1. A larger one only adds entities.
        cohort: A cohort that is switched on; those that are not given are switched off. Give it once for each.
        no_cohorts: Switch all cohorts off.
        dark_share: The part of the reads that is compared, from 0 to 1.
        own_dark_share: Let each process compare the share that it was set up with.
    """

    share: _Share = None
    cohort: Annotated[tuple[str, ...], Parameter(negative="", show_default=False)] = ()
    no_cohorts: Flag = False
    dark_share: _Share = None
    own_dark_share: Flag = False

    @property
    def cohorts(self) -> Sequence[str] | None:
        """The cohorts that are switched on; None where they stay."""
        return self.cohort or (() if self.no_cohorts else None)

    @property
    def any(self) -> bool:
        """Whether something changes at all."""
        return self != Changes()

    def check(self, who: Author) -> None:
        """Raise `Unusable` where two of them contradict each other, or somebody changes nothing."""
        if self.cohort and self.no_cohorts:
            raise Unusable("--no-cohorts: leave it out, or --cohort")
        if self.dark_share is not None and self.own_dark_share:
            raise Unusable("--own-dark-share: leave it out, or --dark-share")
        if who != Author() and not self.any:
            raise Unusable("--by, --why: say what to change as well, such as --share 0.1")


@phase.command(
    name="cut-over",
    help_epilogue=examples(
        f"lazymig phase cut-over {_APP}",
        f"lazymig phase cut-over {_APP} --share 0 --cohort staff",
        f"lazymig phase cut-over {_APP} --share 0.1 --cohort staff --why 'p99 is fine'",
    ),
)
async def cut_over(
    *,
    app: App,
    changes: Annotated[Changes, Parameter(name="*")] = Changes(),
    who: _Author = Author(),  # noqa: B008 - frozen
    json: Json = False,
    debug: Debug = False,
) -> int:
    """Show or change for whose reads V2 answers first in coexist: cohorts, and a share of all entities.

    For each group it shows what dark reads found: how both sides agree, how fast each is, and how often it fails.
    Processes follow a change within a second. Set the share before the step to coexist: without one, V2 answers first
    for all entities there.
    """
    changes.check(who)
    async with _followed(app, in_json=json) as (repository, parts):
        name = repository.migration.name
        phases = parts.phases(name)
        if changes.any:
            try:
                _check_declared(repository, changes.cohorts or ())
                standing = await set_cut_over(
                    phases, share=changes.share, cohorts=changes.cohorts, dark_share=changes.dark_share,
                    own_dark_share=changes.own_dark_share, by=who.name, why=who.why or "",
                )  # fmt: skip
            except ConfigurationError as error:
                raise Unusable(str(error)) from None
        else:
            standing = await mover_of(Switch(repository)).find()
        cut_over: CutOver = read_cut_over(standing.settings)
        records = await parts.figures(name).find(cut_over)
    if json:
        show_json(as_object(standing, cut_over, records))
    else:
        show_cut_over(standing, cut_over, records)
    return Exit.NEEDS_PERSON if any(record.undeclared for record in records) else Exit.DONE


@phase.command(
    name="on-outage",
    help_epilogue=examples(
        f"lazymig phase on-outage degrade {_APP} --why 'V2 is down'", f"lazymig phase on-outage fail {_APP}"
    ),
)
async def on_outage(
    policy: Annotated[Literal["fail", "degrade"], Parameter(help="What a write does that V2 cannot announce.")],
    /,
    *,
    app: App,
    who: _Author = Author(),  # noqa: B008 - frozen
    wait: Annotated[float, Parameter(help="Seconds to wait for acknowledgements.")] = 90.0,
    json: Json = False,
    debug: Debug = False,
) -> int:
    """Choose what writes do in shadow while V2 is down: fail, or write V1 alone.

    With degrade, V2 misses writes. It is suspect then, and coexist needs lazymig verify --repair, begun after on-outage
    fail. The control collection must be reachable during the outage: keep it in V1's cluster.
    """
    async with _followed(app, in_json=json) as (repository, parts):
        if calls_of(repository).place is not None:
            raise Unusable(
                "on-outage: both shapes are in one document, so no write can reach V1's part and miss V2's; there is "
                "nothing to choose"
            )
        mover = mover_of(Switch(repository, wait_s=wait, on_wait=partial(remark, in_json=json)))
        standing, roll, signed = await mover.find(), mover.call_roll(), {"by": who.name, "why": who.why or ""}
        if policy == "degrade":
            made = await allow_degrading(mover.phases, standing, roll, wait, **signed)
        else:
            made = await forbid_degrading(mover.phases, standing, roll, parts.clock, wait, **signed)
    suspect = made.settings.get("suspect_since")
    if json:
        show_json({"migration": made.migration, "policy": policy, "suspect_since": suspect, "epoch": made.epoch})
    else:
        becomes = "goes to V1 alone" if policy == "degrade" else "fails"
        say(f"{made.migration}: a write {becomes} while V2 is down (epoch {made.epoch}).")
        if suspect is not None:
            say("V2 has missed writes: run lazymig verify --repair before coexist.")
    return Exit.DONE


def _check_declared(repository: Repository[object, object], names: Iterable[str]) -> None:
    """Raise `Unusable` for a cohort that this application does not declare: its processes would not know it either."""
    control = calls_of(repository).control
    assert control is not None  # checked when it was opened
    for name in names:
        if cohorts_of(control).find(check_cohort_name(name)) is None:
            raise Unusable(f"--cohort {name}: this application declares no such cohort; control.cohort declares one")


@asynccontextmanager
async def _followed(app: str, *, in_json: bool) -> AsyncIterator[tuple[Repository[object, object], Parts]]:
    """Open a repository that follows a control collection. Raises `Unusable` for one that does not."""
    async with opened(app, in_json=in_json) as repository:
        control = calls_of(repository).control
        if control is None:
            raise Unusable(f"--app {app}: its phase is fixed; pass phase=Control(collection) in every process")
        yield repository, parts_of(control)
