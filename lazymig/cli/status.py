"""`lazymig status`: how far a migration is. Changes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import attrs
from attrs import frozen

from lazymig.cli.follower_state import FollowerState, describe_follower, follower_rows
from lazymig.cli.ids import Names
from lazymig.cli.letters import as_object, show_letters
from lazymig.cli.loading import opened
from lazymig.cli.options import App, Debug, Exit, Flag, Json
from lazymig.cli.output import encodable, is_terminal, say, show_json, table, wrapped
from lazymig.cli.versions import describe_deletable, describe_versions
from lazymig.control import Control, RunRecord, parts_of
from lazymig.dark.contests import SOURCE as DARK_READ
from lazymig.repository import Repository, calls_of
from lazymig.shapes.migration import is_upcasting_only
from lazymig.stores.counts import Counts
from lazymig.stores.records import DeadLetter
from lazymig.sweeping.holdings import Holdings, MovedBy, count_by_conversion, count_moved_by, look_up_holdings
from lazymig.sweeping.revisions import find_warnings
from lazymig.sweeping.rewrite import KIND
from lazymig.sweeping.versions import Versions, count_versions

#: How many dead letters and runs are shown at most.
_SHOWN = 10
_BLOCKS = "▁▂▃▄▅▆▇█"


@frozen
class Verified:
    """What the last verification and live reads found that still stands.

    Attributes:
        last: The last run of a verification, None if there was none.
        mismatches: Entities that do not agree, by their verdicts. Only those that have stood for the minimum age count.
        oldest: When the oldest of these was first found.
    """

    last: RunRecord | None
    mismatches: Mapping[str, int]
    oldest: datetime | None


@frozen
class DarkLog:
    """The log of dark reads: how many entities it holds, and when the oldest was first found not to agree."""

    mismatches: int
    oldest: datetime | None


@frozen
class Status:
    """How far a migration is."""

    migration: str
    phase: str
    v1: int
    v2: Holdings
    moved_by: MovedBy
    dead_letters: int
    letters: list[DeadLetter]
    runs: list[RunRecord]
    verified: Verified
    dark_reads: DarkLog
    #: How many entities of V2 each conversion revision made.
    conversions: dict[int, int]
    #: What is wrong with this release; each says what to do.
    warnings: list[str]
    #: What the follower found; None where none ever ran.
    follower: FollowerState | None = None
    #: What this user or this server does not allow to check.
    unseen: tuple[str, ...] = ()
    #: What to do about V2's documents without `_lazymig`, where there are some.
    foreign: tuple[str, ...] = ()
    #: V1's documents by version, where the migration has upcasters.
    versions: Versions | None = None
    #: Whether there is one collection only, so that nothing is migrated.
    alone: bool = False

    @property
    def remaining(self) -> int:
        """About how many entities V2 lacks."""
        return 0 if self.alone else self.v2.remaining(self.v1)

    @property
    def share(self) -> float:
        """The part that is migrated, from 0 to 1."""
        return min(1.0, self.v2.live / self.v1) if self.v1 and not self.alone else 1.0


async def status(
    *,
    app: App,
    exact: Flag = False,
    json: Json = False,
    debug: Debug = False,
) -> int:
    """Show how far a migration is: entities, open writes, dead letters, verification, the last runs.

    Changes nothing; the role read is enough. The exit code is 3 when dead letters are open, or V1 and V2 do not agree
    somewhere.

    Args:
        exact: Count the documents. Without it the numbers are estimates, which cost next to nothing.
    """
    async with opened(app, in_json=json) as repository:
        found = await looked_up(repository, exact=exact)
    if json:
        letters = [as_object(letter, Names([letter.id])) for letter in found.letters]
        share = int(found.share * 10_000) / 10_000
        show_json({**attrs.asdict(found), "letters": letters, "remaining": found.remaining, "share": share})
    else:
        _render(found)
    return Exit.NEEDS_PERSON if found.dead_letters or found.foreign or found.verified.mismatches else Exit.DONE


async def looked_up(repository: Repository[Any, Any], *, exact: bool) -> Status:
    """Look at both collections and the control collection."""
    v1, v2 = Counts(calls_of(repository).pair.v1), Counts(calls_of(repository).pair.bodies)
    control, name = calls_of(repository).choose_control(), repository.migration.name
    stage = await calls_of(repository).look()
    seen = await stage.first_use.look(control=control, whole=True)
    seen.check(foreign=False)
    held, chain = await look_up_holdings(v2, exact=exact), repository.migration.upcasters
    return Status(
        migration=name,
        phase=str(stage.phase),
        v1=await v1.count_all(exact=exact),
        v2=held,
        moved_by=await count_moved_by(v2, held.live, exact=exact),
        dead_letters=await control.dead_count(name),
        letters=await _oldest(control, name),
        runs=await _last_runs(control, name),
        verified=await _look_up_verified(control, name),
        dark_reads=await _look_up_dark(control, name),
        conversions=await count_by_conversion(v2, held.live, exact=exact),
        warnings=await find_warnings(calls_of(repository).pair, control),
        unseen=seen.unseen,
        foreign=seen.foreign_problem,
        follower=describe_follower(await parts_of(control).following(name).find(), parts_of(control).clock.now()),
        versions=None if chain is None else await count_versions(v1, chain, exact=exact),
        alone=is_upcasting_only(repository.migration),
    )


async def _oldest(control: Control, name: str) -> list[DeadLetter]:
    async for page in parts_of(control).letters.find_pages(name, waived=False, size=_SHOWN):
        return page[:_SHOWN]
    return []


async def _look_up_verified(control: Control, name: str) -> Verified:
    table = parts_of(control).mismatches
    counts = await table.count_by_verdict(name, confirmed=True)
    runs = await control.history(name, 1, kind="verify")
    oldest = None
    async for page in table.find_pages(name, confirmed=True, size=1):
        oldest = page[0].first_at if page else None
        break
    return Verified(runs[0] if runs else None, {str(verdict): count for verdict, count in counts.items()}, oldest)


async def _look_up_dark(control: Control, name: str) -> DarkLog:
    log = parts_of(control).mismatches
    async for page in log.find_pages(name, source=DARK_READ, size=1):
        return DarkLog(await log.count(name, source=DARK_READ), page[0].first_at if page else None)
    return DarkLog(0, None)


async def _last_runs(control: Control, name: str) -> list[RunRecord]:
    """Find the last runs that wrote documents, newest first."""
    found = [run for kind in ("sweep", KIND) for run in await control.history(name, _SHOWN, kind=kind)]
    return sorted(found, key=lambda run: run.started_at, reverse=True)[:_SHOWN]


def _render(found: Status) -> None:
    rows = _one_collection(found) if found.alone else _both_collections(found)
    rows |= {} if found.follower is None else follower_rows(found.follower)
    for name, value in rows.items():
        say(f"  {name:<30} {value if isinstance(value, str) else f'{value:,}'}")
    if found.versions is not None:
        say(describe_deletable(found.versions))
    _render_verified(found.verified)
    if (oldest := found.dark_reads.oldest) is not None:
        count = f"{found.dark_reads.mismatches:,}"
        wrapped(f"In the log of dark reads: {count}, the oldest found at {oldest:%Y-%m-%d %H:%M:%S} UTC")
    for warning in (*found.warnings, *found.foreign):
        say(f"Warning: {warning}")
    for what in found.unseen:
        say(f"Not checked (this user or this server does not allow it): {what}")
    if found.letters:
        names = Names(letter.id for letter in found.letters)
        say("")
        show_letters(f"Dead letters, the oldest {len(found.letters)}", found.letters, names)
    if found.runs:
        say(f"Documents moved per run, oldest first: {sparkline([_moved(run) for run in reversed(found.runs)])}")
        table("Last runs (UTC)", ("started", "seconds", "ended", "counts"), [_row(run) for run in found.runs])


def _render_verified(found: Verified) -> None:
    last = found.last
    if last is not None:
        text = f"Last verification: {last.ended_at:%Y-%m-%d %H:%M:%S} UTC, {_describe_extent(last)}"
        (wrapped if is_terminal() else say)(text)  # whole in a pipe, where it is searched for
    if found.mismatches:
        counts = ", ".join(f"{count:,} {verdict}" for verdict, count in found.mismatches.items())
        since = f", the oldest found at {found.oldest:%Y-%m-%d %H:%M:%S} UTC" if found.oldest is not None else ""
        wrapped(f"V1 and V2 do not agree: {counts}{since}. lazymig verify says where.")


def _describe_extent(run: RunRecord) -> str:
    compared = f"{run.counts.get('compared', 0):,} entities compared"
    if not run.finished:
        return f"stopped early, {compared}"
    parts = {
        "sample": "a sample, ", "filtered": "of a filter, ", "sharded": "other shards not done, ",
        "upgrade_only": "by a follower, upgrade only, ",
    }  # fmt: skip
    partly = "".join(text for name, text in parts.items() if run.counts.get(name))
    return f"finished, {partly}{compared}, {run.counts.get('match', 0):,} agreed"


def _one_collection(found: Status) -> dict[str, int | str]:
    say(f"{found.migration}: phase {found.phase}, one collection whose documents are brought up when they are read")
    versions = {} if found.versions is None else describe_versions(found.versions)
    return {"documents": found.v1, **versions}


def _both_collections(found: Status) -> dict[str, int | str]:
    say(f"{found.migration}: phase {found.phase}, {int(found.share * 1000) / 10} % migrated")
    by, about = found.moved_by, "about " if found.moved_by.estimated else ""
    unknown = {"moved by unknown": f"{about}{by.unknown:,}"} if by.unknown else {}
    versions = {} if found.versions is None else describe_versions(found.versions)
    return {
        "V1 entities": found.v1,
        **{f"V1 {name}": value for name, value in versions.items()},
        "V2 clean": found.v2.clean,
        "V2 dirty (open writes)": found.v2.dirty,
        "V2 placeholders": found.v2.placeholders,
        "V2 tombstones": found.v2.tombstones,
        "remaining, about": found.remaining,
        "open dead letters": found.dead_letters,
        "moved by reads": f"{about}{by.read:,}",
        "moved by writes": f"{about}{by.write:,}",
        "moved by sweeps": f"{about}{by.sweep:,}",
        **unknown,
        **{f"conversion revision {conv}": f"{about}{count:,}" for conv, count in found.conversions.items()},
    }


def _moved(run: RunRecord) -> int:
    return run.counts.get("migrated", 0) + run.counts.get("rewritten", 0)


def sparkline(values: Sequence[int]) -> str:
    """Draw values as blocks of eight heights, the largest value the highest; zero is a dot.

    Where stdout's encoding lacks blocks, the heights are the digits 1 to 8.
    """
    highest, blocks = max(values, default=0), encodable(_BLOCKS + "·", "12345678.")
    return "".join(blocks[max(value * 8 // (highest + 1), 0)] if value else blocks[8] for value in values)


def _row(run: RunRecord) -> tuple[str, str, str, str]:
    seconds = f"{(run.ended_at - run.started_at).total_seconds():,.1f}"
    counts = ", ".join(f"{name.replace('_', ' ')} {count:,}" for name, count in run.counts.items() if count)
    return f"{run.started_at:%Y-%m-%d %H:%M:%S}", seconds, "finished" if run.finished else "stopped early", counts
