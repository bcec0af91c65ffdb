"""Checks of the collections as the server describes them: what the first use checks, expiry, unique indexes, shards."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from lazymig.control import Control
from lazymig.diagnosis.facts import SideFacts
from lazymig.diagnosis.findings import Finding, blocks, notes, passes, warns
from lazymig.errors import ConfigurationError
from lazymig.stores.given import Store
from lazymig.surroundings.checking import Surroundings, check_apart

#: The check of the control collection's place.
CONTROL: Final = "control collection"
_FENCED = {
    "v1": "the fence of the seal refuses every insert and update",
    "v2": "the fence of the seal refuses announcements of writes",
}


def check_control(control: Control, v1: Store, v2: Store) -> Iterator[Finding]:
    """Report a control collection that is V1 or V2 itself."""
    try:
        check_apart(control, v1, v2)
    except ConfigurationError as error:
        yield blocks(CONTROL, str(error), "name another collection")


def check_collections(found: Surroundings, facts: Sequence[SideFacts]) -> Iterator[Finding]:
    """Make all checks of the collections themselves."""
    yield from check_first_use(found)
    yield from check_unseen(facts)
    yield from check_expiry(facts)
    yield from check_shard_keys(facts)


def check_first_use(found: Surroundings) -> Iterator[Finding]:
    """Report everything that would end the first call, or a sweep."""
    check = "collections"
    for problem in found.problems:
        evidence, advice = _split(problem)
        yield blocks(check, evidence, advice)
    for problem in found.foreign_problem:
        evidence, advice = _split(problem)
        seen = f"{evidence} (seen: {found.foreign.seen} of {found.foreign.looked_at})"
        yield blocks(check, seen, advice or "run lazymig sweep --adopt")
    for side, fenced in zip(("v1", "v2"), found.fenced, strict=True):
        if fenced:
            yield notes(
                "fences", f"{side}: {_FENCED[side]}, as it should in v2_only; a validator of your own is kept",
                "in any other phase a seal was interrupted: lazymig phase show says how to go on",
            )  # fmt: skip
    for what in found.unseen:
        yield notes("rights", f"not checked: {what}", "give this user the role read on both databases")
    if not found.problems and not found.foreign_problem:
        both = "the collection" if found.v1.side == "collection" else "both collections"
        yield passes(check, f"lazymig can work with {both} and the control collection")


def _split(problem: str) -> tuple[str, str]:
    """Split a sentence of the first use into what is wrong and what to do."""
    for mark in ("; ", ". "):
        evidence, found, advice = problem.partition(mark)
        if found:
            return evidence, advice
    return problem, "see the message"


def check_unseen(facts: Sequence[SideFacts]) -> Iterator[Finding]:
    """Report what this user may not see."""
    for one in facts:
        for what in one.unseen:
            yield notes("rights", f"not checked: {what}", "run the doctor once as a user with this right")


def check_expiry(facts: Sequence[SideFacts]) -> Iterator[Finding]:
    """Report TTL indexes that the first use accepts: V1's, where each read compares both sides."""
    for one in facts:
        names = [str(index["name"]) for index in one.seen.indexes if "expireAfterSeconds" in index]
        if names and one.side == "v1":
            yield warns(
                "TTL indexes", f"v1: {', '.join(names)} makes the server delete entities, which V2 keeps until a read "
                "or a verification with repair notices",
                "delete through the repository, or expect verifications to find orphans",
            )  # fmt: skip
        elif not names and not one.in_memory:
            yield passes("TTL indexes", f"{one.side}: none")


def check_shard_keys(facts: Sequence[SideFacts]) -> Iterator[Finding]:
    """Judge V1's shard key; V2's is judged at the first use."""
    for one in facts:
        key = one.seen.shard_key
        if not one.is_sharded or one.side == "v2":
            continue
        if not key:
            yield notes(
                "shard keys", f"{one.side}: not sharded, or its shard key cannot be seen (right find on config)"
            )
        elif "_id" not in key:
            yield warns(
                "shard keys", f"{one.side}: sharded by ({', '.join(key)}), so each step on one entity asks every shard",
                "expect more load during the migration, or shard it by _id",
            )  # fmt: skip
        else:
            yield passes("shard keys", f"{one.side}: sharded by ({', '.join(key)})")
