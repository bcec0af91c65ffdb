"""Gates that judge what the documents hold, where each carries both shapes."""

from __future__ import annotations

from attrs import evolve

from lazymig.diagnosis.facts import gather_facts
from lazymig.diagnosis.findings import Severity
from lazymig.diagnosis.indexes import check_indexes, list_indexes, list_paths
from lazymig.diagnosis.mapping import FieldMap
from lazymig.phases import Phase
from lazymig.protocol.in_place.parts import Parts
from lazymig.stores.scans import Scan
from lazymig.stores.whole_counts import count_wholes
from lazymig.switching.case import AnyCase
from lazymig.switching.plan import Gate, closes, opens

#: Documents that show which field of V2 holds what an indexed field of V1 holds, and those of a look before the step.
_SAMPLE = 1000


async def remaining(case: AnyCase) -> Gate:
    """Every document has a V2 part by this conversion: from `v2_primary` on, listings go by V2's fields.

    Whether a part is of V1's part as it stands, the gate `verification` says: only whole documents show it.
    """
    name, place, sample = "remaining", case.place, 0 if case.thorough else _SAMPLE
    found = await count_wholes(place.store, case.name, place.conversions.migration.revision, sample=sample)
    lacking = found.lacking + found.older
    if lacking and not sample:
        lacking -= await _count_waived(case)
    of = f"{found.documents:,} documents" + (" of a random sample" if sample else "")
    if lacking > 0:
        return closes(name, f"V2's part is missing or of an older conversion in {lacking:,} of {of}", _SWEEP)
    others = {"left as they are": found.left, "waiting for their users": found.waiting}
    but = ", ".join(f"{count:,} {what}" for what, count in others.items() if count)
    return opens(name, f"of {of}, all have a V2 part" + (f" but {but}" if but else ""))


_SWEEP = "run lazymig sweep to its end"


async def _count_waived(case: AnyCase) -> int:
    """Count the documents without a V2 part whose failure a person has accepted."""
    conv, count = case.place.conversions.migration.revision, 0
    async for page in case.parts.letters.find_pages(case.name, waived=True):
        found = await case.place.store.find_many([letter.id for letter in page]) if page else {}
        count += sum(not one.alone and (one.of is None or one.conv < conv) for one in found.values())
    return count


async def waiting(case: AnyCase) -> Gate:
    """No entity waits for its user: V2's listings and counts leave those out, and in `v2_only` all reads do."""
    count = (await count_wholes(case.place.store, case.name)).waiting
    if count:
        return closes(
            "waiting", f"{count:,} entities wait for their users, and have no V2 part",
            "lazymig waiting lists them: let their users supply what is missing, or let upgrade return LEAVE for them",
            acceptable=case.to is Phase.V2_PRIMARY,
        )  # fmt: skip
    return opens("waiting", "no entity waits for its user")


async def indexes(case: AnyCase) -> Gate:
    """V2's fields have an index for each of V1's that is used: listings go by V2's fields after the step."""
    name, shape = "indexes", case.place.shape
    facts = await gather_facts(case.calls.collections.v1, (await case.surroundings()).v1, case.clock)
    of_v2 = shape.v2_own | shape.shared
    wanted = [
        index
        for index in list_indexes(facts.seen.indexes)
        if any(path.partition(".")[0] not in of_v2 for path in list_paths([index]))
    ]
    if not wanted:
        return opens(name, "no index is on fields that only V1 has")
    fields = FieldMap(list_paths(wanted))
    scan = Scan(case.place.store)
    for stored in (await case.place.store.find_many(await scan.sample_ids(_SAMPLE))).values():
        parts = Parts(case.place, stored)
        if stored.of is not None and stored.unmoved is None:
            fields.note(parts.v1.document, shape.v2_as_stored(stored))
    v1 = evolve(facts, seen=evolve(facts.seen, indexes=tuple(wanted)))
    found = check_indexes(v1, facts, fields)
    lacking = [one for one in found if one.severity is Severity.WARNING]
    if lacking:
        more = f" (and {len(lacking) - 1:,} more)" if len(lacking) > 1 else ""
        return closes(name, f"{lacking[0].evidence}{more}", lacking[0].advice, acceptable=True)
    return opens(name, f"V2's fields have one for each of V1's {len(wanted):,} that is used")
