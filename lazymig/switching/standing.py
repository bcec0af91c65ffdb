"""Gates that judge the fleet, its releases and its settings, and what processes check in the phase after the step."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from lazymig.control import MemberRecord
from lazymig.errors import ConfigurationError
from lazymig.phases import Phase
from lazymig.sweeping.revisions import find_warnings
from lazymig.switching.case import AnyCase
from lazymig.switching.plan import Gate, closes, opens

#: Phases in which V2 is the answer, so that a document there that lazymig did not store matters.
_FROM_V2 = (Phase.V2_PRIMARY, Phase.V2_ONLY)


async def fleet(case: AnyCase) -> Gate:
    """Every live process works by the record as it is. A step waits for those that do not yet."""
    members, epoch = await case.members(), case.standing.epoch
    behind = [member for member in members if member.is_behind(epoch, epoch)]
    if not members:
        return opens("fleet", "no process has joined; those with a fixed phase=Phase.X are not seen here")
    counted = f"{_count(members)}, and all have acknowledged epoch {epoch}"
    if behind:
        named = ", ".join(sorted(member.name for member in behind))
        counted = f"{_count(members)}; the step waits for {named} to acknowledge epoch {epoch}"
    return opens("fleet", counted)


def _count(members: Sequence[MemberRecord]) -> str:
    roles = Counter(member.role for member in members)
    named = ", ".join(f"{count:,} {role}" for role, count in sorted(roles.items()))
    return f"{len(members):,} process{'es' if len(members) > 1 else ''} ({named})"


async def releases(case: AnyCase) -> Gate:
    """All processes convert alike, and none converted by a newer revision than this one."""
    name, revision = "releases", case.calls.migration.revision
    others = {member.name: member.revision for member in await case.members() if member.revision != revision}
    if others:
        named = ", ".join(f"{member} has {other}" for member, other in sorted(others.items()))
        return closes(
            name, f"this command has conversion revision {revision}, and {named}",
            "deploy one release everywhere, and run this command from it",
        )  # fmt: skip
    for warning in await find_warnings(case.calls.ground, case.control):
        evidence, _, remedy = warning.partition(": ")
        return closes(name, evidence, remedy or "raise Migration(revision=...)")
    return opens(name, f"all processes have conversion revision {revision}")


async def collections(case: AnyCase) -> Gate:
    """Processes accept both collections in the phase after the step."""
    found = await case.surroundings()
    wrong = found.problems
    if case.to in _FROM_V2 or found.foreign.is_back_fill:
        wrong += found.foreign_problem
    if wrong:
        return closes("collections", wrong[0], "change that; lazymig doctor shows all")
    unseen = f"; not checked: {', '.join(found.unseen)}" if found.unseen else ""
    return opens("collections", f"processes accept both in {case.to}{unseen}")


async def options(case: AnyCase) -> Gate:
    """The repository's options make sense in the phase after the step."""
    try:
        case.calls.builder.build_strictly(case.to)
    except ConfigurationError as error:
        return closes("options", str(error), "deploy the repository without this option")
    return opens("options", f"the repository can be made in {case.to}")


async def cohorts(case: AnyCase) -> Gate:
    """All ids have been cut over: a share below 1 means that V1 still answers for some."""
    share = case.standing.settings.get("share")
    if isinstance(share, int | float) and share < 1:
        return closes(
            "cohorts", f"V2 answers for {share * 100:.4g} % of the ids, and V1 for the others",
            "run lazymig phase cut-over --share 1",
        )  # fmt: skip
    return opens("cohorts", "V2 answers for all ids")


async def tools(case: AnyCase, *, but: str = "") -> Gate:
    """Nothing is at work that moves entities from V1 to V2. `but` is a kind of rows that may be."""
    kinds = [kind for kind in await case.parts.at_work.find(case.name) if kind != but]
    # Rows of sweeps name no tool.
    names = sorted({"sweep" if kind in ("partition", "pass") else kind.split(" ")[0] for kind in kinds})
    names += sorted({f"{one.name} ({one.role})" for one in await case.members() if one.role != "service"})
    if names:
        return closes("tools", f"at work: {', '.join(names)}", "stop it; after a crash its lease is over within 20 s")
    return opens("tools", "no sweep, verification or follower is at work")
