"""Looks at an entity: what counts as a mismatch, when it counts, and that looking changes nothing."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import pytest

from lazymig import Migration, Verdict
from lazymig.comparing.checks import Checks
from lazymig.comparing.comparer import Comparer
from lazymig.dark.contests import Look, Outcome, Sides, TwoSides
from lazymig.dark.looking import WAITS_S, compare_once, look_until_settled
from lazymig.dark.notes import Notes
from lazymig.repository import Repository, calls_of
from lazymig.stores.given import RawId
from lazymig.stores.verdicts import Mismatch
from lazymig.testing import memory_repository
from tests.people import TestClock, ada, ada_v1, people

META = "_lazymig"


class Scripted:
    """A contest whose looks are given."""

    def __init__(self, looks: Sequence[Look]) -> None:
        self.looks = list(looks)

    async def read(self, id: RawId) -> Sides:
        return Sides(None)

    async def pair_up(self, ids: Sequence[RawId], asked: Notes, notes: Notes) -> dict[RawId, Sides]:
        return {}

    async def judge(self, id: RawId, sides: Sides) -> Look:
        return self.looks.pop(0)


def differs(signature: str) -> Look:
    """A look that found a difference."""
    return Look(Outcome.DIFFERS, Mismatch(1, Verdict.DIFFERENT, signature=signature))


A, B, C = differs("a"), differs("b"), differs("c")
MATCHED, MOVED, MISSING = Look(Outcome.MATCHED), Look(Outcome.MOVED), Look(Outcome.MISSING)


@pytest.mark.parametrize(
    ("looks", "found"),
    [
        ([MATCHED], MATCHED),
        ([MISSING], MISSING),
        ([A, A], A),
        ([A, MATCHED], MATCHED),
        ([A, MISSING], MISSING),
        ([A, B, B], B),
        ([MOVED, A, A], A),
        ([MOVED, MOVED, MATCHED], MATCHED),
        ([A, B, C], MOVED),
        ([A, B, A], MOVED),
        ([A, MOVED, A], MOVED),
        ([MOVED, MOVED, A], MOVED),
        ([MOVED, MOVED, MOVED], MOVED),
    ],
    ids=lambda value: (
        None if isinstance(value, Look) else "-".join(look.signature or look.outcome.name for look in value)
    ),
)
async def test_only_what_two_looks_in_a_row_saw_counts(looks: list[Look], found: Look) -> None:
    """A difference counts when the next look sees the same documents; what never stands still has moved."""
    clock, contest = TestClock(), Scripted(looks)
    first = await contest.judge(1, Sides(None))
    assert await look_until_settled(contest, clock, 1, first) == found
    assert contest.looks == []
    assert clock.slept == list(WAITS_S[: len(looks) - 1])


async def opened(*ids: int, clock: TestClock | None = None, **changed: Any) -> Repository[Any, Any]:
    """A repository whose entities are in both collections."""
    repository = memory_repository(people(**changed), clock=clock or TestClock())
    await repository.collections.v1.insert_many([ada_v1(id) for id in ids])
    await repository.get_many(ids)
    return repository


async def looked(repository: Repository[Any, Any], id: int = 1, *, expects_all: bool = False, **checks: Any) -> Look:
    """Compare one entity of a repository."""
    pair = calls_of(repository).pair
    comparer = Comparer(pair.conversions, Checks(**checks))
    return await compare_once(pair, comparer, id, expects_all=expects_all)


async def contents(repository: Repository[Any, Any]) -> list[Any]:
    """Every document of both collections."""
    return [await collection.find().to_list(None) for collection in repository.collections]


#: What is planted, by update of V1 and of V2 (None deletes), and what must be found.
PLANTED: dict[str, tuple[dict[str, Any] | None, dict[str, Any] | None, Verdict, list[str]]] = {
    "a value": ({}, {"$set": {"age": 37}}, Verdict.DIFFERENT, ["age"]),
    "a type": ({}, {"$set": {"age": 2**40}}, Verdict.DIFFERENT, ["age"]),
    "a value in V1, by an outsider": ({"$set": {"age": 37}}, {}, Verdict.DIFFERENT, ["age"]),
    "an element": ({}, {"$push": {"tags": "x"}}, Verdict.DIFFERENT, ["tags[1]"]),
    "a null for a value": ({}, {"$set": {"age": None}}, Verdict.DIFFERENT, ["age"]),
    "another revision in V1": ({"$set": {"_lazymig_rev": 7}}, {}, Verdict.STALE, []),
    "another revision in V2": ({}, {"$set": {f"{META}.rev": 7, f"{META}.intent": 7}}, Verdict.STALE, []),
    "an outside delete": (None, {}, Verdict.ORPHAN, []),
    "a body that does not decode": ({}, {"$set": {"first": 5}}, Verdict.UNKNOWN, []),
    "a V1 document that does not convert": ({"$set": {"name": "Cher"}}, {}, Verdict.UNKNOWN, []),
}


@pytest.mark.parametrize("defect", PLANTED)
async def test_every_kind_of_defect_is_found(defect: str) -> None:
    """By its verdict and its field, twice, and nothing is changed by looking."""
    v1, v2, verdict, paths = PLANTED[defect]
    repository = await opened(1, 2)
    for collection, update in zip(repository.collections, (v1, v2), strict=True):
        if update is None:
            await collection.delete_one({"_id": 1})
        elif update:
            await collection.update_one({"_id": 1}, update)
    before = await contents(repository)
    look = await looked(repository)
    assert look.outcome is Outcome.DIFFERS
    assert look.mismatch is not None
    assert (look.mismatch.id, look.mismatch.verdict, look.mismatch.source) == (1, verdict, "dark read")
    assert [difference.path for difference in look.mismatch.differences] == paths
    assert "Cher" not in repr(look)
    assert (await looked(repository, 2)).outcome is Outcome.MATCHED
    assert await contents(repository) == before


@pytest.mark.parametrize(
    ("update", "is_expected"),
    [
        (None, True),
        ({"$set": {f"{META}.conv": 1}}, True),
        ({"$set": {f"{META}.conv": 3}}, False),
        ({"$unset": {"first": 1, "last": 1}, "$set": {f"{META}.gone": True}}, True),
    ],
    ids=["absent", "an older conversion", "a newer conversion", "a tombstone"],
)
async def test_what_v2_does_not_hold_is_missing(update: dict[str, Any] | None, is_expected: bool) -> None:
    """No mismatch while the migration goes on; one where V2 should hold everything, but for a newer release's body."""
    repository = await opened(1, revision=2)
    if update is None:
        await repository.collections.v2.delete_one({"_id": 1})
    else:
        await repository.collections.v2.update_one({"_id": 1}, update)
    assert await looked(repository) == MISSING
    outcome = (await looked(repository, expects_all=True)).outcome
    assert outcome is (Outcome.DIFFERS if is_expected else Outcome.MISSING)


async def test_an_unfinished_write_is_no_mismatch() -> None:
    """V2 does not answer then, whatever its body holds."""
    repository = await opened(1)
    await repository.collections.v2.update_one({"_id": 1}, {"$set": {"age": 1}})
    await calls_of(repository).pair.ledger.ticket(1)
    assert await looked(repository) == MOVED


async def test_a_deleted_entity_matches() -> None:
    """Neither side holds it, with a tombstone or without."""
    repository = await opened(1)
    await repository.delete(1)
    assert await looked(repository) == MATCHED
    assert await looked(repository, 9) == MATCHED


async def test_values_that_only_v2_holds_are_no_difference() -> None:
    """`upgrade` gets V2's entity as the previous one, as in a re-conversion, and keeps them."""
    repository = await opened(9)
    await repository.insert(ada(note="kept"))
    assert await looked(repository) == MATCHED


async def test_further_checks_are_run() -> None:
    """Invariants and an expectation, as in a verification."""
    repository = await opened(1)
    look = await looked(repository, invariants={"short": lambda v1, v2: len(v2.first) < 3})
    assert look.mismatch is not None
    assert look.mismatch.check == "short"


async def test_looking_writes_nothing() -> None:
    """Stores without any write are enough, whatever is found."""
    repository = await opened(1, 2, 3)
    await repository.collections.v2.delete_one({"_id": 1})
    await repository.collections.v2.update_one({"_id": 2}, {"$set": {"age": 1}})
    await calls_of(repository).pair.ledger.ticket(3)
    pair = calls_of(repository).pair

    async def refused(*_: Any, **__: Any) -> Any:
        raise AssertionError("a write")

    reads = {"find", "find_many", "now", "clock"}
    for store in (pair.v1, pair.bodies, pair.ledger):
        for name in dir(type(store)):
            if not name.startswith("_") and name not in reads and callable(getattr(store, name)):
                object.__setattr__(store, name, refused)
    outcomes = [(await looked(repository, id)).outcome for id in (1, 2, 3)]
    assert outcomes == [Outcome.MISSING, Outcome.DIFFERS, Outcome.MOVED]


async def test_a_conversion_that_never_settles_shows() -> None:
    """`upgrade` must make the same entity of the same document, also when it is given its own result."""
    counter = itertools.count()
    migration: Migration[Any, Any] = people(upgrade=lambda v1, previous: ada(v1.id, note=str(next(counter))))
    repository = memory_repository(migration, clock=TestClock())
    await repository.collections.v1.insert_one(ada_v1())
    await repository.get(1)
    look = await looked(repository)
    assert look.mismatch is not None
    assert [difference.path for difference in look.mismatch.differences] == ["note"]


async def test_v2_is_read_first() -> None:
    """Where V2 is clean, V1 was not past it then; read the other way round, a write between would look like damage."""
    repository = await opened(1)
    pair = calls_of(repository).pair
    order: list[str] = []
    for name, store in (("v1", pair.v1), ("v2", pair.bodies)):
        found = store.find

        async def find(id: Any, name: str = name, found: Any = found) -> Any:
            order.append(name)
            return await found(id)

        object.__setattr__(store, "find", find)
    await TwoSides(pair, Comparer(pair.conversions)).read(1)
    assert order == ["v2", "v1"]
