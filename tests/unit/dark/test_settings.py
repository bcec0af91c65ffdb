"""Dark reads as they are set up: what is refused, how reads are sampled, and what they cost when they are off."""

from __future__ import annotations

from typing import Any

import pytest

from lazymig import ConfigurationError, DarkReads, Phase, Repository
from lazymig.repository import calls_of
from lazymig.routes.coexist import Coexist
from lazymig.routes.dark import Dark
from lazymig.routes.prepare import Prepare
from lazymig.routes.shadow import Shadow
from lazymig.routes.v1_answers import V1Answers
from lazymig.routes.v1_only import V1Only
from lazymig.routes.v2_primary import V2Primary
from lazymig.testing import memory_repository
from lazymig.testing.memory_collection import MemoryCollection
from tests.people import TestClock, ada, ada_v1, people

#: A stall of the machine ends no comparison.
LONG_S = 60.0

COLLECTIONS: dict[str, Any] = {"v1": MemoryCollection("v1"), "v2": MemoryCollection("v2")}


class Counted(TestClock):
    """A clock that returns these numbers, and counts how many were drawn."""

    def __init__(self, *numbers: float) -> None:
        super().__init__()
        self.numbers = list(numbers)
        self.drawn = 0

    def random(self) -> float:
        self.drawn += 1
        return self.numbers.pop(0)


async def drained(repository: Any) -> dict[str, int]:
    """What the dark reads have counted once they are done, without zeros."""
    await calls_of(repository).drain()
    return {name: count for name, count in repository.dark_reads.counts.items() if count}


@pytest.mark.parametrize("share", [-0.01, 1.01, float("nan"), float("inf"), True, False, None, "0.5", [0.5]])
def test_a_share_is_a_number_from_0_to_1(share: Any) -> None:
    """Anything else is refused, at first and later, and a refused one changes nothing."""
    with pytest.raises(ConfigurationError, match="share: pass a number from 0 to 1"):
        DarkReads(share)
    dark = DarkReads(0.25)
    with pytest.raises(ConfigurationError, match="share: pass a number from 0 to 1"):
        dark.share = share
    assert dark.share == 0.25


@pytest.mark.parametrize(
    ("option", "values"),
    [
        ("serve", ("V1", None, 1)),
        ("on_mismatch", ("print", 1)),
        ("control", ("lazymig_control", 1)),
        ("log_max", (-1, 1.5, None, True)),
        ("in_flight_max", (0, -1, None, True)),
        ("rate_max", (0, -1, float("nan"), "1", True)),
        ("timeout_s", (0, -1, float("nan"), None, "1", True)),
        ("invariants", ({"": len}, {"upgrade": len}, {"name": None})),
    ],
)
def test_options_that_cannot_work_are_refused(option: str, values: tuple[Any, ...]) -> None:
    """They are refused when they are set up, and the error names the option."""
    for value in values:
        with pytest.raises(ConfigurationError, match=f"^{option}: "):
            DarkReads(**{option: value})


def test_an_a_a_mode_needs_v1_to_answer() -> None:
    """With V2 as the control it would compare V2 with V1."""
    with pytest.raises(ConfigurationError, match='pass serve="v1" with aa=True'):
        DarkReads(aa=True)
    assert DarkReads(serve="v1", aa=True).aa


@pytest.mark.parametrize("phase", [Phase.V1_ONLY, Phase.PREPARE])
def test_until_v2_is_filled_there_is_nothing_but_v1_to_compare(phase: Phase) -> None:
    """Both sides are refused there; V1 with V1 is not."""
    for dark in (DarkReads(), DarkReads(serve="v1")):
        with pytest.raises(ConfigurationError, match=rf"dark_reads: in the phase {phase} there is no V2"):
            Repository(people(), phase=phase, dark_reads=dark, **COLLECTIONS)
    Repository(people(), phase=phase, dark_reads=DarkReads(serve="v1", aa=True), **COLLECTIONS)


def test_once_v2_lists_v1_must_not_answer() -> None:
    """In `v2_primary` a read by V1 could differ from the listing; in `v2_only` V1 is stale, and cannot be compared."""
    for dark in (DarkReads(serve="v1"), DarkReads(serve="v1", aa=True)):
        with pytest.raises(ConfigurationError, match=r"dark_reads: in the phase v2_primary V2 answers"):
            Repository(people(), phase=Phase.V2_PRIMARY, dark_reads=dark, **COLLECTIONS)
    for dark in (DarkReads(), DarkReads(serve="v1"), DarkReads(serve="v1", aa=True)):
        with pytest.raises(ConfigurationError, match=r"dark_reads: in the phase v2_only V1 is stale"):
            Repository(people(), phase=Phase.V2_ONLY, dark_reads=dark, **COLLECTIONS)


@pytest.mark.parametrize("given", [0.5, True, "v1"])
def test_a_repository_takes_nothing_but_dark_reads(given: Any) -> None:
    """A share alone does not say which side answers."""
    with pytest.raises(ConfigurationError, match=r"dark_reads: pass a lazymig\.DarkReads, or None"):
        Repository(people(), phase=Phase.COEXIST, dark_reads=given, **COLLECTIONS)


def test_each_repository_needs_its_own() -> None:
    """Counts and latencies of two repositories would run together."""
    dark = DarkReads()
    Repository(people(), phase=Phase.COEXIST, dark_reads=dark, **COLLECTIONS)
    with pytest.raises(ConfigurationError, match="belongs to another repository"):
        Repository(people(), phase=Phase.COEXIST, dark_reads=dark, **COLLECTIONS)


def test_without_dark_reads_no_route_is_wrapped() -> None:
    """A repository without them runs the phase's own route."""
    assert isinstance(calls_of(memory_repository(people())).route, Coexist)
    assert memory_repository(people()).dark_reads is None


@pytest.mark.parametrize(
    ("phase", "dark", "control"),
    [
        (Phase.COEXIST, DarkReads(), Coexist),
        (Phase.COEXIST, DarkReads(serve="v1"), V1Answers),
        (Phase.COEXIST, DarkReads(serve="v1", aa=True), V1Answers),
        (Phase.V1_ONLY, DarkReads(serve="v1", aa=True), V1Only),
        (Phase.PREPARE, DarkReads(serve="v1", aa=True), Prepare),
        (Phase.SHADOW, DarkReads(), Shadow),
        (Phase.SHADOW, DarkReads(serve="v1"), Shadow),
        (Phase.V2_PRIMARY, DarkReads(), V2Primary),
    ],
)
def test_the_control_is_the_route_of_the_side_that_answers(phase: Phase, dark: DarkReads, control: type) -> None:
    """It is wrapped, except in a session, where the same side answers and nothing is compared."""
    calls = calls_of(memory_repository(people(), phase, dark_reads=dark))
    assert isinstance(calls.route, Dark)
    assert type(calls.route.control) is control
    assert type(calls.in_session(None).route) is control
    for name in ("uses_v2", "fills_v2", "serves_v2", "lists_v2", "keeps_v1"):
        assert getattr(calls.route, name) == getattr(control, name)
    assert calls.route.candidate == ("v1" if control in (Coexist, V2Primary) else "v2")


@pytest.mark.parametrize(
    ("phase", "serve"),
    [
        (Phase.SHADOW, "v2"), (Phase.SHADOW, "v1"), (Phase.COEXIST, "v2"), (Phase.COEXIST, "v1"),
        (Phase.V2_PRIMARY, "v2"),
    ],
)  # fmt: skip
async def test_a_wrong_v2_is_found_in_every_phase_that_fills_it(phase: Phase, serve: Any) -> None:
    """Either door finds it, no matter which side answers, and the caller gets the answer of its phase."""
    repository = memory_repository(
        people(), phase, dark_reads=DarkReads(1, serve=serve, timeout_s=LONG_S), clock=TestClock()
    )
    await repository.insert(ada())
    await repository.get(1)
    await repository.get_many([1])
    assert await drained(repository) == {"compared": 2, "matched": 2}
    await repository.collections.v2.update_one({"_id": 1}, {"$set": {"age": 1}})
    found = await repository.get(1)
    assert found is not None
    assert (found.age == 1) == (serve == "v2" and phase is not Phase.SHADOW)
    await repository.v1.get(1)
    await repository.get_many([1])
    assert await drained(repository) == {"compared": 5, "matched": 2, "mismatched": 3}


async def test_a_share_of_0_draws_no_random_number_and_notes_nothing() -> None:
    """Neither does a share of 1 draw one."""
    clock = Counted()
    repository = memory_repository(people(), dark_reads=DarkReads(0), clock=clock)
    await repository.collections.v1.insert_one(ada_v1())
    await repository.get(1)
    await repository.get_many([1])
    await repository.v1.get(1)
    assert await drained(repository) == {}
    assert repository.dark_reads is not None
    repository.dark_reads.share = 1
    await repository.get(1)
    assert await drained(repository) == {"compared": 1, "matched": 1}
    assert clock.drawn == 0


async def test_each_read_and_each_id_is_sampled_by_itself() -> None:
    """The share can be changed between two reads; numbers below it are sampled."""
    repository = memory_repository(people(), dark_reads=DarkReads(0.5), clock=Counted(0.49, 0.5, 0.1, 0.9, 0.2, 0.19))
    await repository.collections.v1.insert_many([ada_v1(id) for id in (1, 2, 3)])
    assert repository.dark_reads is not None
    await repository.get(1)
    assert (await drained(repository))["compared"] == 1
    await repository.get(1)
    assert (await drained(repository))["compared"] == 1
    await repository.get_many([1, 2, 3])
    assert (await drained(repository))["compared"] == 3
    repository.dark_reads.share = 0.19
    await repository.get(1)
    assert (await drained(repository))["compared"] == 3


async def test_only_reads_by_id_are_compared() -> None:
    """Writes, `exists`, `count`, listings and sessions are passed on."""
    repository = memory_repository(people(), dark_reads=DarkReads(1, timeout_s=LONG_S))
    await repository.insert(ada())
    await repository.replace(ada(1, age=37))
    await repository.exists(1)
    await repository.count()
    assert [person.age async for person in repository.list()] == [37]
    assert [person.age async for person in repository.v1.list()] == [37]
    await repository.update(1, lambda person: person)
    await repository.delete(1)
    assert await drained(repository) == {}


async def test_counts_and_consistency_say_how_often_both_sides_agree() -> None:
    """The rate is that of the comparisons at one revision; None before the first."""
    repository = memory_repository(people(), dark_reads=DarkReads(1, timeout_s=LONG_S), clock=TestClock())
    dark = repository.dark_reads
    assert dark is not None
    assert dark.consistency is None
    await repository.collections.v1.insert_many([ada_v1(id) for id in range(4)])
    await repository.get_many(range(4))
    assert await drained(repository) == {"compared": 4, "matched": 4}
    await repository.collections.v2.update_one({"_id": 3}, {"$set": {"age": 1}})
    await repository.get_many(range(4))
    assert await drained(repository) == {"compared": 8, "matched": 7, "mismatched": 1}
    assert dark.consistency == 7 / 8
    assert repository.tally.counts["lazymig.dark_reads.matched"] == 7
    assert "100.00%" in repr(dark)
