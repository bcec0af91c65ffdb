"""Gates that judge what both collections hold, and who else writes V1."""

from __future__ import annotations

from datetime import datetime, timedelta

from lazymig.control import Followed
from lazymig.diagnosis.examining import Examination, TwoSides
from lazymig.diagnosis.facts import gather_facts
from lazymig.diagnosis.findings import Severity
from lazymig.diagnosis.indexes import check_indexes, list_indexes, list_paths
from lazymig.diagnosis.mapping import FieldMap
from lazymig.diagnosis.writers import Writers
from lazymig.measuring.holdings import look_up_holdings
from lazymig.phases import Phase
from lazymig.protocol.bodies import HEAL_AFTER
from lazymig.stores.counts import Counts
from lazymig.stores.probes import probe_of
from lazymig.surroundings.looking import Seen
from lazymig.switching.case import AnyCase
from lazymig.switching.plan import Gate, cannot_check, closes, opens
from lazymig.switching.proofs import find_proof

#: Documents of V1 that show which field of V2 holds what an indexed field of V1 holds.
_SAMPLE = 1000
#: Looks at the numbers of documents: inserts and deletes between two counts make them differ.
_LOOKS, _APART_S = 5, 0.2
#: How many entities V2 must lack, and a tenth of all at least, to be believed without counting one by one.
_SURELY = 1000
#: How long ago the follower may have looked last.
_SEEN = timedelta(minutes=10)


async def remaining(case: AnyCase) -> Gate:
    """V2 holds as many entities as V1, but for those that are waived, wait for their users, or are not taken over."""
    v1, v2, waived = Counts(case.pair.v1), Counts(case.pair.bodies), await case.waived_in_v1()
    of, held = await v1.count_all(), await look_up_holdings(v2)
    lacking = held.remaining(of) - waived
    for look in range(_LOOKS):
        if not case.thorough and lacking > max(_SURELY, of // 10):
            break  # no estimate is that wrong, and counting one by one takes long
        if lacking <= 0 and (look or not case.thorough):
            break
        await case.clock.sleep(_APART_S if look else 0)
        # One by one: the estimates of a server may be wrong, and these numbers are compared.
        of, live, marked = await v1.count_all(exact=True), await v2.count_live(), await v2.count_marked()
        lacking = of - live - marked.waiting - marked.left - waived
    if lacking > 0:
        return closes("remaining", f"V2 lacks {lacking:,} of {of:,} entities", "run lazymig sweep to its end")
    others = {"waived": waived, "not taken over": held.left, "waiting for their users": held.waiting}
    but = ", ".join(f"{count:,} {what}" for what, count in others.items() if count)
    return opens("remaining", f"V2 holds all {of:,} entities" + (f" but {but}" if but else ""))


async def waiting(case: AnyCase) -> Gate:
    """No entity waits for its user: from the phase after the step on, V2's listings and counts miss those that do.

    In `v2_only` even reads miss them, so that nobody may accept it there.
    """
    count = (await Counts(case.pair.bodies).count_marked()).waiting
    if count:
        return closes(
            "waiting", f"{count:,} entities wait for their users, and V2 lacks them",
            "lazymig waiting lists them: let their users supply what is missing, or let upgrade return LEAVE for them",
            acceptable=case.to is Phase.V2_PRIMARY,
        )  # fmt: skip
    return opens("waiting", "no entity waits for its user")


async def open_writes(case: AnyCase) -> Gate:
    """No write has been open for longer than a write takes: its process died, and nothing has healed it."""
    count = await Counts(case.pair.bodies).count_dirty(await case.pair.ledger.now() - 2 * HEAL_AFTER)
    if count:
        return closes("open-writes", f"{count:,} entities have a write that was never finished", "run lazymig sweep")
    return opens("open-writes", "no entity has an unfinished write")


async def dead_letters(case: AnyCase) -> Gate:
    """No entity needs a person."""
    count = await case.parts.letters.count_open(case.name)
    if count:
        return closes(
            "dead-letters", f"{count:,} entities could not be moved",
            "lazymig dead-letters list shows them: correct each, or waive it",
        )  # fmt: skip
    waived = await case.waived()
    return opens("dead-letters", f"none is open; {waived:,} are waived" if waived else "there are none")


async def outside_writes(case: AnyCase) -> Gate:
    """No other program has written V1 since the verification, or the follower heals what it writes."""
    name, (since, followed) = "outside-writes", await _find_followed(case)
    if followed is None:
        return opens(name, "no follower has ever run, so only verifications find them")
    if followed.catching_up is not None:
        return closes(
            name, f"the follower may have missed changes: {followed.catching_up}", "run lazymig follow until it is done"
        )
    count = followed.count_since(since).total()
    if followed.running:
        seen = f"{count:,} since {since:%H:00} UTC"
        return opens(name, f"{seen}; the follower heals them, and is {followed.lag_s:.0f} s behind")
    if count:
        return closes(
            name, f"{count:,} since {since:%H:00} UTC, and no follower runs",
            "verify again in the next full hour, or run lazymig follow",
        )  # fmt: skip
    return opens(name, f"none since {since:%H:00} UTC")


async def _find_followed(case: AnyCase) -> tuple[datetime, Followed | None]:
    """Find since when other programs must not have written V1, and what the follower has seen of them."""
    proof = await find_proof(case)
    return case.since if proof is None else proof.began_at, await case.parts.following(case.name).find()


async def last_outside_writes(case: AnyCase) -> Gate:
    """No other program writes V1: in the phase after the step such a write would be lost."""
    name, (since, followed) = "outside-writes", await _find_followed(case)
    if followed is None:
        return cannot_check(
            name, "no follower has ever run, so nothing shows whether another program writes V1",
            "run lazymig follow for a while, or make sure that none does and accept it",
        )  # fmt: skip
    return _judge_last(case, name, followed, followed.count_since(since).total(), f"{since:%H:00} UTC")


def _judge_last(case: AnyCase, name: str, followed: Followed, count: int, since: str) -> Gate:
    if count:
        return closes(
            name, f"another program writes V1: {count:,} since {since}",
            "stop that program, let lazymig follow catch up, and verify again in the next full hour",
        )  # fmt: skip
    if followed.catching_up is not None:
        return closes(
            name, f"the follower may have missed changes: {followed.catching_up}", "run lazymig follow until it is done"
        )
    if not followed.running and (followed.seen_at is None or case.clock.now() - followed.seen_at > _SEEN):
        when = "" if followed.seen_at is None else f" since {followed.seen_at:%Y-%m-%d %H:%M} UTC"
        return cannot_check(
            name, f"no follower has looked{when}",
            "run lazymig follow once more and stop it, or make sure that no program writes V1 and accept it",
        )  # fmt: skip
    return opens(name, f"the follower has seen none since {since}")


async def indexes(case: AnyCase) -> Gate:
    """V2 has an index for each of V1's that is used: listings go by V2's fields after the step."""
    name, found, pair = "indexes", await case.surroundings(), case.pair
    given = case.calls.collections
    v1 = await gather_facts(given.v1, found.v1, case.clock)
    v2 = await gather_facts(given.v2, found.v2 or Seen("v2", probe_of(pair.bodies).name), case.clock)
    carried = pair.conversions.carried
    wanted = list_indexes(v1.seen.indexes, carried)
    if not wanted:
        return opens(name, "V1 has none except the one on _id")
    fields = FieldMap(list_paths(wanted))
    await Examination(TwoSides(pair, Writers(carried.revision)), (fields,)).run(_SAMPLE, None)
    lacking = [one for one in check_indexes(v1, v2, fields, carried) if one.severity is Severity.WARNING]
    if lacking:
        more = f" (and {len(lacking) - 1:,} more)" if len(lacking) > 1 else ""
        return closes(name, f"{lacking[0].evidence}{more}", lacking[0].advice, acceptable=True)
    return opens(name, f"V2 has one for each of V1's {len(wanted):,} that is used")
