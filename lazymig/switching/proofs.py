"""Gates that judge what compared both sides: verifications, and live reads."""

from __future__ import annotations

from datetime import datetime, timedelta

from attrs import frozen

from lazymig.control import RunRecord
from lazymig.stores.raw import keys_of
from lazymig.stores.verdicts import Mismatch
from lazymig.switching.case import AnyCase
from lazymig.switching.plan import Gate, closes, opens
from lazymig.verifying.options import KIND as VERIFY
from lazymig.verifying.report import COUNTED

#: A run with one of these counts above 0 has not compared everything.
_PARTIAL = ("sample", "filtered", "sharded", "upgrade_only")
_VERIFY = "run lazymig verify to its end"


@frozen
class Proof:
    """The last full verification, whatever it found.

    Attributes:
        run: Its run.
        began_at: When its pass began: nothing that happened later has certainly been compared.
        clean_since: When the first of the full verifications ended since which none found anything; None where the
            last one found something.
    """

    run: RunRecord
    began_at: datetime
    clean_since: datetime | None


async def find_proof(case: AnyCase) -> Proof | None:
    """Find the last full verification by this conversion revision; None where there is none."""
    runs = await case.runs()
    full = [run for run in runs if _is_full(run, case.calls.migration.revision)]
    if not full or full[0].pass_began_at is None:
        return None
    waived, clean_since = await case.waived(), None
    for run in runs:
        if count_unexplained(run, waived):
            break
        if run in full and run.pass_began_at is not None and run.pass_began_at > case.since:
            clean_since = run.ended_at
    return Proof(full[0], full[0].pass_began_at, clean_since)


def _is_full(run: RunRecord, revision: int) -> bool:
    whole = run.finished and not any(run.counts.get(name) for name in _PARTIAL)
    return whole and run.pass_began_at is not None and run.revision == revision


def count_unexplained(run: RunRecord, waived: int) -> int:
    """Count what does not agree, less the entities that V2 lacks because a person has waived their failure."""
    lacking = run.counts.get("missing", 0) + run.counts.get("unknown", 0)
    others = sum(run.counts.get(name, 0) for name in COUNTED) - lacking
    return others + max(0, lacking - waived)


async def verification(case: AnyCase) -> Gate:
    """A recent full verification, begun in this phase, has found that all entities agree."""
    name, proof = "verification", await find_proof(case)
    revision, phase = case.calls.migration.revision, case.standing.phase
    if proof is None:
        return closes(name, f"no finished verification of all entities by revision {revision} is recorded", _VERIFY)
    run, waived = proof.run, await case.waived()
    if count_unexplained(run, waived):
        found = ", ".join(f"{run.counts[each]:,} {each}" for each in COUNTED if run.counts.get(each))
        return closes(
            name, f"the last one, of {_at(run.ended_at)}, found {found}",
            "correct these entities, with lazymig verify --repair where it can, and verify again",
        )  # fmt: skip
    if proof.began_at <= case.since:
        return closes(
            name, f"the last one began at {_at(proof.began_at)}, before {phase} did at {_at(case.since)}",
            f"{_VERIFY} in {phase}",
        )  # fmt: skip
    age = case.clock.now() - proof.began_at
    if age > timedelta(seconds=case.demands.max_age_s):
        return closes(name, f"the last one began at {_at(proof.began_at)}, {_long(age)} ago", f"{_VERIFY} again")
    compared = f"{run.counts.get('compared', 0):,} entities were compared by {_at(run.ended_at)}"
    return opens(name, compared + (f"; all agree but {waived:,} waived" if waived else "; all agree"))


async def soak(case: AnyCase) -> Gate:
    """Verifications have found nothing for a while."""
    name, proof = "soak", await find_proof(case)
    wanted = timedelta(seconds=case.demands.soak_s)
    if proof is None or proof.clean_since is None:
        return closes(
            name, f"no clean verification yet; {_long(wanted)} must pass after the first", _VERIFY, acceptable=True,
        )  # fmt: skip
    stood = case.clock.now() - proof.clean_since
    if stood < wanted:
        return closes(
            name, f"verifications have found nothing for {_long(stood)}, of {_long(wanted)}",
            f"wait until {_at(proof.clean_since + wanted)}, or pass --soak", acceptable=True,
        )  # fmt: skip
    return opens(name, f"verifications have found nothing for {_long(stood)}")


async def mismatches(case: AnyCase) -> Gate:
    """No entity is recorded that does not agree: confirmed by a verification, or seen by a live read."""
    count = 0
    async for page in case.parts.mismatches.find_pages(case.name):
        # Only a verification confirms what it has found. A source that cannot be read counts as another one.
        count += await _count_unwaived(case, [row for row in page if row.confirmed or row.source != VERIFY])
    if count:
        return closes(
            "mismatches", f"{count:,} entities do not agree",
            "lazymig status names them; correct them, with lazymig verify --repair where it can",
        )  # fmt: skip
    return opens("mismatches", "neither verifications nor dark reads have recorded any")


async def _count_unwaived(case: AnyCase, rows: list[Mismatch]) -> int:
    waived: set[object] = set()
    async for letters in case.parts.letters.find_pages_of(case.name, [row.id for row in rows]):
        waived |= set(keys_of(letter.id for letter in letters if letter.waived is not None))
    return sum(key not in waived for key in keys_of(row.id for row in rows))


async def suspect(case: AnyCase) -> Gate:
    """V2 has been verified since writes went to V1 alone."""
    since, proof = case.standing.settings.get("suspect_since"), await find_proof(case)
    if since is None:
        return opens("suspect", "no write has left V2 out")
    if not isinstance(since, datetime):
        return closes(
            "suspect", "V2 was down, and somebody has changed the record of when",
            "set suspect_since in the control collection's record of the phase to the present time, and then run "
            "lazymig verify --repair",
        )  # fmt: skip
    if case.standing.settings.get("degrade"):
        return closes(
            "suspect", f"V2 was down at {_at(since)}, and writes may go to V1 alone",
            "lazymig phase on-outage fail, and then lazymig verify --repair",
        )  # fmt: skip
    if proof is None or proof.began_at <= since or count_unexplained(proof.run, await case.waived()):
        return closes(
            "suspect", f"while V2 was down, writes went to V1 alone, last at {_at(since)}",
            "run lazymig verify --repair, then lazymig verify, each to its end",
        )  # fmt: skip
    return opens("suspect", f"writes went to V1 alone until {_at(since)}; a verification since then found nothing")


def _at(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"


def _long(span: timedelta) -> str:
    seconds = max(0, round(span.total_seconds()))
    hours, minutes = divmod(seconds // 60, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min" if minutes else f"{seconds} s"
