"""What must hold before V1 may go, each with what was seen and what to do about it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TypeVar

from attrs import frozen

from lazymig.control import Standing
from lazymig.control.retirement import RetirementRecord, RetirementStage
from lazymig.control.watching import Watched
from lazymig.errors import PhaseError
from lazymig.phases import Phase
from lazymig.retiring.ground import Ground, Work
from lazymig.stores.counts import Counts
from lazymig.stores.documents import decode_id, raw_id
from lazymig.stores.raw import keys_of
from lazymig.stores.scans import Scan

V1 = TypeVar("V1")
V2 = TypeVar("V2")

#: A watch that has recorded nothing for longer does not run.
_FRESH = timedelta(minutes=10)
#: Open marks that are named, and that are looked at.
_NAMED, _LOOKED_AT = 5, 1000


@frozen
class Condition:
    """One condition of a step.

    Attributes:
        name: What it is about.
        holds: Whether it holds.
        evidence: What was seen.
        remedy: What to do where it does not hold.
    """

    name: str
    holds: bool
    evidence: str
    remedy: str = ""


class NotMet(PhaseError):
    """A step was refused, because conditions do not hold; nothing was changed."""


@frozen
class Soak:
    """How long V1 must have been quiet."""

    seconds: float
    #: Whether it is accepted that nobody watched V1.
    unwatched: bool


def check_all(conditions: Sequence[Condition], what: str) -> None:
    """Raise `NotMet` with every condition that does not hold."""
    wrong = [f"{one.name}: {one.evidence}; {one.remedy}" for one in conditions if not one.holds]
    if wrong:
        raise NotMet(f"{what}: V1 stays as it is.\n" + "\n".join(wrong))


def check_phase(phase: Phase | None) -> None:
    """Raise `PhaseError` unless the migration is in `V2_ONLY`. None: no phase is known."""
    if phase is None:
        raise PhaseError("retirement: no phase is recorded yet; V1 may go once the migration is in v2_only")
    if phase is not Phase.V2_ONLY:
        raise PhaseError(f"retirement: in the phase {phase} V1 is needed; it may go once the migration is in v2_only")


async def find_conditions(
    ground: Ground[V1, V2], record: RetirementRecord, standing: Standing | None, soak: Soak
) -> list[Condition]:
    """Look at everything that V1's end depends on. Changes nothing."""
    found = [] if standing is None else [await judge_fleet(ground, standing)]
    found += [await _judge_letters(ground), await _judge_waiting(ground), await _judge_marks(ground, record)]
    watched = await ground.parts.watching(ground.name).find_watched()
    begun = None if standing is None else standing.last.at
    base = record.since if record.stage is RetirementStage.QUARANTINED else begun
    found.append(judge_soak(watched, base, ground.clock.now(), soak))
    if record.stage is RetirementStage.QUARANTINED:
        found.append(await _judge_return(ground))
    return found


async def judge_fleet(ground: Work, standing: Standing) -> Condition:
    members = await ground.parts.members(ground.name).find_all()
    late = [one.name for one in members if one.is_behind(standing.last.epoch, standing.epoch)]
    evidence = f"processes: {len(members):,}, all in v2_only"
    if late:
        named = ", ".join(sorted(late)[:_NAMED])
        evidence = f"processes: {len(members):,}, {len(late):,} of them not known to be in v2_only ({named})"
    return Condition("fleet", not late, evidence, "wait for them or stop them: lazymig phase show names them")


async def _judge_letters(ground: Ground[V1, V2]) -> Condition:
    count = await ground.parts.letters.count_open(ground.name)
    return Condition(
        "dead letters", not count, f"{count:,} entities are in V1 alone, because they never converted",
        "look at them by lazymig dead-letters list; store what is needed through the repository, then waive them",
    )  # fmt: skip


async def _judge_waiting(ground: Ground[V1, V2]) -> Condition:
    waiting = (await Counts(ground.pair.bodies).count_marked()).waiting
    return Condition(
        "waiting entities", not waiting, f"{waiting:,} entities wait in V1 alone for their users (NotYet)",
        "store what is needed through the repository, which ends the wait",
    )  # fmt: skip


async def _judge_marks(ground: Ground[V1, V2], record: RetirementRecord) -> Condition:
    marks = await ground.pair.ledger.open_marks(_LOOKED_AT)
    bodiless = [seen.id for seen in marks if seen.gone]
    # An announced insert or delete that V1 knows nothing of has no effect any more.
    held = await Scan(ground.here(record)).find_fields(bodiless, "_id")
    kept = keys_of(raw_id(found["_id"]) for found in held)
    open_ids = [
        seen.id
        for seen, key in zip(marks, keys_of(seen.id for seen in marks), strict=True)
        if not seen.gone or key in kept
    ]
    named = ", ".join(repr(decode_id(id)) for id in open_ids[:_NAMED]) + (" and more" if len(open_ids) > _NAMED else "")
    return Condition(
        "unfinished writes", not open_ids, f"V1 may hold newer data than V2: {named}" if open_ids else "none",
        "compare both documents, and store the right one by replace() or insert(), which ends the write",
    )  # fmt: skip


async def _judge_return(ground: Ground[V1, V2]) -> Condition:
    returned = await ground.v1.identify() is not None
    return Condition(
        "V1's name", not returned,
        f"{ground.v1.place} exists again: a program wrote it" if returned else "nothing has that name",
        "find the program and stop it, save what it wrote, and drop that collection",
    )  # fmt: skip


def judge_soak(watched: Watched | None, base: datetime | None, now: datetime, soak: Soak) -> Condition:
    """Judge whether V1 has been quiet for long enough, since it was last moved and since it was last written."""
    needed = timedelta(seconds=soak.seconds)
    if watched is None or (watched.seen_at is None and soak.unwatched):
        if not soak.unwatched:
            return Condition(
                "quiet V1", False, "nobody watches V1",
                "run lazymig retire watch beside the service; --unwatched accepts that nothing shows stray writes",
            )  # fmt: skip
        return _judge_time("nobody watches V1, which is accepted", base, now, needed)
    since = max(at for at in (watched.since, base, watched.last_stray) if at is not None)
    evidence = f"watched since {watched.since:%Y-%m-%d %H:%M} UTC{_describe_strays(watched)}"
    if not soak.unwatched and (watched.seen_at is None or now - watched.seen_at > _FRESH):
        last = "never" if watched.seen_at is None else f"{watched.seen_at:%Y-%m-%d %H:%M} UTC"
        return Condition(
            "quiet V1", False, f"the watch does not run, it last did at {last}", "start lazymig retire watch again"
        )
    return _judge_time(evidence, since, now, needed)


def _judge_time(evidence: str, since: datetime | None, now: datetime, needed: timedelta) -> Condition:
    if since is None:
        return Condition("quiet V1", True, evidence)
    quiet, until = now - since, since + needed
    remedy = f"wait until {until:%Y-%m-%d %H:%M} UTC; each stray write starts the wait over"
    return Condition(
        "quiet V1", quiet >= needed, f"{evidence}; quiet for {_format(quiet)}, of {_format(needed)}", remedy
    )


def _describe_strays(watched: Watched) -> str:
    counts = Counter[str]()
    for (_, name), count in (*watched.changes.items(), *watched.accesses.items()):
        counts[name] += count
    names = {"writes": "writes counted by the server", "reads": "reads counted by the server"}
    parts = [f"{count:,} {names.get(name, f'changes ({name})')}" for name, count in sorted(counts.items())]
    last = "" if watched.last_stray is None else f", the last write at {watched.last_stray:%Y-%m-%d %H:%M} UTC"
    blind = "" if watched.counted else "; refused writes and reads cannot be seen"
    return (", " + ", ".join(parts) if parts else ", no stray write") + last + blind


def _format(time: timedelta) -> str:
    hours = time.total_seconds() / 3600
    return f"{hours / 24:.1f} days" if hours >= 48 else f"{hours:.1f} hours"
