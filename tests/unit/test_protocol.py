"""The protocol's decisions, driven through races by stores that let a rival in between two statements."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from attrs import evolve, frozen

from lazymig import AlreadyExists, Contention, ConversionError, NotFound, Phase, Repository, protocol
from lazymig.loop.clock import pick_unused_step
from lazymig.repository import calls_of
from lazymig.stores.records import Put
from lazymig.testing.memory_collection import MemoryCollection
from tests.people import PersonV1, PersonV2, TestClock, ada, ada_v1, people

REV, META = "_lazymig_rev", "_lazymig"
GRACE = timedelta(hours=1)
BODY = {"first": "Ada", "last": "Lovelace", "age": 36, "tags": ["math"], "note": None}


def v2(id: Any = 1, rev: int = 0, intent: int | None = None, *, by: str | None = None, **more: Any) -> dict[str, Any]:
    """A V2 document with a body."""
    meta = {"rev": rev, "intent": rev if intent is None else intent, **({} if by is None else {"by": by})}
    return {"_id": id, **BODY, META: meta} | more


def gone(rev: int, intent: int, at: Any) -> dict[str, Any]:
    """A tombstone or a placeholder."""
    return {"_id": 1, META: {"rev": rev, "intent": intent, "gone": True, "at": at}}


@frozen
class World:
    """Two collections in memory with a repository on them, and a clock that stands."""

    v1: MemoryCollection
    v2: MemoryCollection
    repository: Repository[PersonV1, PersonV2]
    clock: TestClock

    @property
    def counts(self) -> dict[str, int]:
        """What the repository counted, without the common prefix."""
        return {name.removeprefix("lazymig."): count for name, count in self.repository.tally.counts.items()}

    def rival(self) -> Repository[PersonV1, PersonV2]:
        """Another process."""
        return world(collections=(self.v1, self.v2), clock=self.clock).repository

    def before(self, store: str, statement: str, act: Callable[[], Any], *, times: int = 1) -> None:
        """Let somebody act just before the next statements of this kind."""
        self._around(store, statement, act, times, first=True)

    def after(self, store: str, statement: str, act: Callable[[], Any], *, times: int = 1) -> None:
        """Let somebody act just after the next statements of this kind."""
        self._around(store, statement, act, times, first=False)

    def _around(self, store: str, statement: str, act: Callable[[], Any], times: int, *, first: bool) -> None:
        port = getattr(calls_of(self.repository).pair, store)
        original = getattr(port, statement)
        left = iter(range(times))

        async def patched(*arguments: Any, **options: Any) -> Any:
            acts = next(left, None) is not None
            if acts and first:
                await act()
            result = await original(*arguments, **options)
            if acts and not first:
                await act()
            return result

        setattr(port, statement, patched)


def world(
    v1: list[Any] | None = None,
    v2: list[Any] | None = None,
    *,
    collections: Any = None,
    clock: Any = None,
    **options: Any,
) -> World:
    """A world with these documents."""
    first, second = collections or (MemoryCollection("v1", v1 or []), MemoryCollection("v2", v2 or []))
    clock = clock or TestClock()
    migration = options.pop("migration", None) or people()
    arguments = {"phase": Phase.COEXIST, "coalesce": False, "clock": clock} | options
    return World(first, second, Repository(migration, v1=first, v2=second, **arguments), clock)


def older(person: PersonV2) -> PersonV2:
    """A change."""
    return evolve(person, age=(person.age or 0) + 1)


# ---- read ------------------------------------------------------------------------------------------------------------


async def test_a_clean_v2_document_is_believed() -> None:
    """By the invariant it is V1's current revision: V1 is not even asked."""
    here = world([ada_v1(name="somebody else")], [v2(rev=3)])
    assert await here.repository.get(1) == ada()


async def test_a_dirty_document_is_not_believed() -> None:
    """V1 answers, with the body of V2 where that is V1's revision, and what only V2 has with it."""
    here = world([ada_v1() | {REV: 3}], [v2(rev=3, intent=4, note="only here")])
    assert await here.repository.get(1) == ada(note="only here")
    assert here.v2.stored(1) == v2(rev=3, intent=4, note="only here")


async def test_a_document_behind_v1_is_repaired() -> None:
    """V1's revision and content, converted with V2's last body as the previous one."""
    here = world([ada_v1(age=40) | {REV: 4}], [v2(rev=3, intent=4, note="kept")])
    assert await here.repository.get(1) == ada(age=40, note="kept")
    assert here.v2.stored(1) == v2(rev=4, age=40, note="kept")
    assert here.counts == {"repaired": 1}


async def test_a_repair_leaves_the_mark_of_a_later_ticket() -> None:
    """V2 stays dirty while a later write is announced."""
    here = world([ada_v1() | {REV: 4}], [v2(rev=3, intent=6)])
    assert await here.repository.get(1) == ada()
    assert here.v2.stored(1) == v2(rev=4, intent=6)


async def test_a_placeholder_is_filled_once_v1_has_the_entity() -> None:
    """An insert that died half way some seconds ago: V1's answer, and V2 repaired."""
    here = world([ada_v1() | {REV: 1}], [gone(-1, 1, TestClock().now() - timedelta(seconds=6))])
    assert await here.repository.get(1) == ada()
    stored = here.v2.stored(1)
    assert stored is not None
    assert stored[META] == {"rev": 1, "intent": 1}


@pytest.mark.parametrize("document", [v2(rev=3, intent=4), gone(4, 4, TestClock().now())], ids=["dirty", "tombstone"])
async def test_without_v1_there_is_no_entity(document: Any) -> None:
    """A delete that died half way, or one that did not: nothing, and nothing is brought back."""
    here = world([], [document])
    assert await here.repository.get(1) is None
    assert here.v2.stored(1) == document


async def test_a_reader_that_lost_its_place_looks_again() -> None:
    """Between its find and its put a writer stored a newer body, with what V1 cannot express: that is answered."""
    here = world([ada_v1()])
    here.before("bodies", "put_if_absent", lambda: here.rival().update(1, lambda person: evolve(person, note="new")))
    assert await here.repository.get(1) == ada(note="new")
    assert here.v2.stored(1) == v2(rev=1, by="write", note="new")
    assert here.counts == {}


async def test_a_repairer_that_lost_its_place_looks_again() -> None:
    """The same for a repair."""
    here = world([ada_v1() | {REV: 4}], [v2(rev=3, intent=4)])
    here.before("bodies", "apply", lambda: here.rival().update(1, lambda person: evolve(person, note="new")))
    assert await here.repository.get(1) == ada(note="new")
    assert here.v2.stored(1) == v2(rev=5, note="new")


async def test_a_repair_goes_over_no_other_body_than_it_was_made_from() -> None:
    """Two writes come while it looks at V1: one with a note, and one that dies past V1. The note stays."""
    here = world([ada_v1() | {REV: 3}], [v2(rev=3, intent=4)])
    pair = calls_of(here.rival()).pair

    async def two_writes() -> None:
        await here.rival().update(1, lambda person: evolve(person, note="new"))
        assert (await pair.ledger.ticket(1)).intent == 6
        assert await pair.v1.compare_and_set(1, 5, 6, {"age": 40})

    here.before("v1", "find", two_writes)
    assert await here.repository.get(1) == ada(age=40, note="new")
    here.clock.time += timedelta(seconds=6)
    assert await here.repository.get(1) == ada(age=40, note="new")
    assert here.v2.stored(1) == v2(rev=6, age=40, note="new")


async def test_a_repairer_that_always_loses_its_place_answers_all_the_same() -> None:
    """Every time another body stands there: the last attempt gives V1's answer."""
    here = world([ada_v1()], [v2(rev=-1, intent=0)], max_attempts=3)

    async def overtaken() -> None:
        await here.rival().update(1, older)
        await here.v2.update_one({"_id": 1}, {"$inc": {f"{META}.intent": 9}})
        await here.v1.update_one({"_id": 1}, {"$inc": {REV: 9}, "$set": {"age": 99}})

    here.before("bodies", "apply", overtaken, times=9)
    assert (await here.repository.get(1) or ada()).age == 99
    assert here.counts == {}


async def test_a_slow_reader_does_not_bring_a_deleted_entity_back() -> None:
    """It holds the entity as it was; its place is taken by the tombstone."""
    here = world([ada_v1()])
    here.before("bodies", "put_if_absent", lambda: here.rival().delete(1))
    assert await here.repository.get(1) is None
    stored = here.v2.stored(1)
    assert stored is not None
    assert stored[META]["gone"] is True


async def test_a_read_that_always_loses_answers_all_the_same() -> None:
    """After the last attempt V1's answer is given: a read does not fail for other readers' and writers' sake."""
    here = world([ada_v1()], max_attempts=3)

    async def lost(*_: Any) -> Put:
        await here.rival().update(1, older)
        await here.v2.delete_one({"_id": 1})
        return Put.LOST

    calls_of(here.repository).pair.bodies.put_if_absent = lost  # type: ignore[method-assign]
    assert await here.repository.get(1) == ada(age=38)


async def test_read_many_looks_again_where_it_lost() -> None:
    """Only for the entities that somebody else stored first."""
    here = world([ada_v1(1), ada_v1(2)])
    here.before("bodies", "put_many", lambda: here.rival().update(1, lambda person: evolve(person, note="new")))
    assert await here.repository.get_many([1, 2]) == {1: ada(1, note="new"), 2: ada(2)}
    assert here.v2.stored(2) == v2(2, by="read")


async def test_read_many_leaves_out_what_was_deleted_where_it_lost() -> None:
    """Neither an error nor a ghost."""
    here = world([ada_v1(1), ada_v1(2)])
    here.before("bodies", "put_many", lambda: here.rival().delete(1))
    assert await here.repository.get_many([1, 2]) == {2: ada(2)}


async def test_read_many_answers_dirty_ones_without_repairing_them() -> None:
    """V2's body where it is V1's revision, else V1's; three statements have no room for repairs."""
    here = world([ada_v1(1) | {REV: 3}, ada_v1(2, age=50) | {REV: 4}], [v2(1, 3, 4, note="n"), v2(2, 3, 4, note="m")])
    assert await here.repository.get_many([1, 2]) == {1: ada(1, note="n"), 2: ada(2, age=50, note="m")}
    assert here.v2.stored(2) == v2(2, 3, 4, note="m")


async def test_read_many_names_what_v2_will_not_encode() -> None:
    """An upgrade whose result BSON cannot hold is that document's conversion error."""
    here = world(
        [ada_v1(1), ada_v1(2)], migration=people(upgrade=lambda v1: ada(v1.id, age=2**64 if v1.id == 1 else 1))
    )
    with pytest.raises(ExceptionGroup) as caught:
        await here.repository.get_many([1, 2])
    assert [error.id for error in caught.value.exceptions] == [1]
    with pytest.raises(ConversionError):
        await here.repository.get(1)
    assert [document["_id"] for document in here.v2.documents()] == [2]


async def test_checked_reads_of_many_name_the_documents_that_do_not_convert() -> None:
    """One by one, and still each by name."""
    here = world([ada_v1(1), ada_v1(2, name="Plato")], checked=True)
    with pytest.raises(ExceptionGroup) as caught:
        await here.repository.get_many([1, 2, 3])
    assert [error.id for error in caught.value.exceptions] == [2]


# ---- heal if old -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("age_s", "healed"), [(4.999, False), (5.0, True)])
async def test_a_reader_heals_an_old_mark(age_s: float, healed: bool) -> None:
    """A mark of five seconds has probably no living writer; a younger one is left alone. The answer is V1's anyway."""
    here = world([ada_v1() | {REV: 3}], [v2(rev=3, intent=4, note="n")])
    here.v2._documents[1][META]["at"] = here.clock.now() - timedelta(seconds=age_s)
    assert await here.repository.get(1) == ada(note="n")
    stored = here.v2.stored(1)
    assert stored is not None
    assert (stored[META] == {"rev": 5, "intent": 5}) is healed
    assert here.counts == ({"healed": 1} if healed else {})


@pytest.mark.parametrize("failure", ["contention", "conversion"])
async def test_a_heal_that_fails_is_counted_and_the_read_answered(failure: str) -> None:
    """Whoever comes next tries again."""
    here = world([ada_v1() | {REV: 3}], [v2(rev=3, intent=4)], max_attempts=1)
    here.v2._documents[1][META]["at"] = here.clock.now() - GRACE

    async def fail(*_: Any, **__: Any) -> None:
        raise Contention(1, 1) if failure == "contention" else ConversionError(1, "upgrade", ValueError())

    calls_of(here.repository).pair.ledger.ticket = fail  # type: ignore[method-assign, assignment]
    assert await here.repository.get(1) == ada()
    assert here.counts == {"left_dirty": 1}


async def test_heal_moves_to_a_fresh_revision_with_the_same_content() -> None:
    """V1 keeps every byte but the revision, V2 is clean at it, and the dead writer would lose its compare-and-set."""
    here = world([ada_v1() | {REV: 3}], [v2(rev=3, intent=4, note="n")])
    dead_ticket = 4
    assert await protocol.heal(calls_of(here.repository).pair, 1) is True
    assert here.v1.stored(1) == ada_v1() | {REV: 5}
    assert here.v2.stored(1) == v2(rev=5, note="n")
    assert await calls_of(here.repository).pair.v1.compare_and_set(1, 3, dead_ticket, {"name": "late"}) is False
    assert here.counts == {"healed": 1}


async def test_a_healer_whose_ticket_was_overtaken_keeps_what_only_v2_has() -> None:
    """Between its ticket and its look at V1 a writer finishes: the writer's note stays."""
    here = world([ada_v1() | {REV: 3}], [v2(rev=3, intent=3, note="old")])
    here.before("v1", "find_local", lambda: here.rival().update(1, lambda person: evolve(person, note="new")))
    assert await protocol.heal(calls_of(here.repository).pair, 1) is True
    assert here.v2.stored(1) == v2(rev=6, note="new")
    assert await here.repository.get(1) == ada(note="new")


async def test_heal_without_v1_heals_nothing() -> None:
    """False: V1 does not hold it."""
    here = world([], [v2(rev=3, intent=4)])
    assert await protocol.heal(calls_of(here.repository).pair, 1) is False
    assert here.counts == {}


# ---- write -----------------------------------------------------------------------------------------------------------


async def test_a_write_that_lost_a_race_wins_the_next() -> None:
    """It starts from what the winner left, what V1 cannot express included, and calls the change again."""
    here = world([ada_v1()])
    await here.repository.get(1)
    calls = []

    def change(person: PersonV2) -> PersonV2:
        calls.append(person)
        return older(person)

    here.before("v1", "compare_and_set", lambda: here.rival().update(1, lambda person: evolve(person, note="rival")))
    assert await here.repository.update(1, change) == ada(age=37, note="rival")
    assert calls == [ada(), ada(note="rival")]
    assert here.v1.stored(1) == ada_v1(age=37) | {REV: 3}
    assert here.v2.stored(1) == v2(rev=3, by="read", age=37, note="rival")
    assert here.counts == {"migrated": 1, "contended": 1}
    assert here.clock.slept == []


async def test_a_write_ahead_of_whose_ticket_v1_has_moved_announces_anew() -> None:
    """V1 must not move to a revision that V2 was not told of: the intent is raised first."""
    here = world([ada_v1() | {REV: 9}], [v2(rev=2)])
    here.v2._documents[1][META]["intent"] = 3
    raised = []
    raise_intent = calls_of(here.repository).pair.ledger.raise_intent

    async def watch(id: Any, intent: int) -> None:
        raised.append((intent, here.v1.stored(1)))
        await raise_intent(id, intent)

    calls_of(here.repository).pair.ledger.raise_intent = watch  # type: ignore[method-assign]
    await here.repository.update(1, older)
    assert raised == [(10, ada_v1() | {REV: 9})]
    assert here.v1.stored(1) == ada_v1(age=37) | {REV: 10}
    assert here.v2.stored(1) == v2(rev=10, age=37)


@pytest.mark.parametrize("call", ["update", "delete", "replace", "v1"])
async def test_a_write_that_always_loses_gives_up(call: str) -> None:
    """`Contention` with the number of attempts, after waits that grow, and shrink with its age; nothing was stored."""
    here = world([ada_v1()], max_attempts=9)
    await here.repository.get(1)

    async def lost(*_: Any) -> bool:
        return False

    calls_of(here.repository).pair.v1.compare_and_set = calls_of(here.repository).pair.v1.delete = lost  # type: ignore[method-assign]
    calls: dict[str, Callable[[], Any]] = {
        "update": lambda: here.repository.update(1, older),
        "delete": lambda: here.repository.delete(1),
        "replace": lambda: here.repository.replace(ada(age=1)),
        "v1": lambda: here.repository.v1.update(1, lambda person: evolve(person, age=1)),
    }
    with pytest.raises(Contention) as caught:
        await calls[call]()
    assert (caught.value.id, caught.value.attempts) == (1, 9)
    assert here.v1.stored(1) == ada_v1()
    assert here.counts == {"migrated": 1, "contended": 9}
    # The first two losses are the normal price of a race; then milliseconds, doubling, bounded, with jitter. The more
    # attempts were lost, the smaller is the share of that, so that who came early goes before who came late.
    shares = [attempts_left / 9 for attempts_left in range(7, 0, -1)]
    longest = [0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.025]
    assert here.clock.slept == pytest.approx([most * share for most, share in zip(longest, shares, strict=True)])
    assert await here.repository.get(1) == ada()


async def test_v1_only_gives_up_too() -> None:
    """The same price in the phase without V2."""
    here = world([ada_v1()], phase=Phase.V1_ONLY, max_attempts=2)
    here.before("v1", "compare_and_set", lambda: here.rival().update(1, older), times=2)
    with pytest.raises(Contention):
        await here.repository.update(1, older)
    assert here.counts == {"contended": 2}


async def test_v1_only_wins_the_next_race() -> None:
    """It starts from what the winner left."""
    here = world([ada_v1()], phase=Phase.V1_ONLY)
    rival = world(collections=(here.v1, here.v2), phase=Phase.V1_ONLY).repository
    here.before("v1", "compare_and_set", lambda: rival.update(1, lambda person: evolve(person, last="King")))
    assert await here.repository.update(1, older) == ada(age=37, last="King")
    assert here.v1.stored(1) == ada_v1(age=37, name="Ada King") | {REV: 2}


async def test_v1_only_starts_each_life_at_a_revision_of_its_own() -> None:
    """A writer that read the entity before it was deleted and inserted anew loses against the new one."""
    here = world(phase=Phase.V1_ONLY)
    here.clock.random = iter([0.25, 0.125, 0.5]).__next__  # type: ignore[method-assign]
    await here.repository.insert(ada())
    first = (here.v1.stored(1) or {})[REV]
    await here.repository.delete(1)
    await here.repository.insert(ada(age=1))
    assert (here.v1.stored(1) or {})[REV] != first
    assert await calls_of(here.repository).pair.v1.compare_and_set(1, first, first + 1, {"age": 99}) is False
    with pytest.raises(AlreadyExists):
        await here.repository.insert(ada())


async def test_an_entity_deleted_meanwhile_is_not_found() -> None:
    """A write that lost to a delete says so, and does not bring the entity back."""
    here = world([ada_v1()])
    await here.repository.get(1)
    here.before("v1", "compare_and_set", lambda: here.rival().delete(1))
    with pytest.raises(NotFound):
        await here.repository.update(1, older)
    assert here.v1.stored(1) is None
    assert await here.repository.get(1) is None


async def test_a_late_apply_does_not_replace_a_later_writers_body() -> None:
    """Between a write's two last statements another writer finishes: its body stays."""
    here = world([ada_v1()])
    here.before("bodies", "apply", lambda: here.rival().update(1, lambda person: evolve(person, note="later")))
    await here.repository.update(1, lambda person: evolve(person, note="earlier"))
    assert await here.repository.get(1) == ada(note="later")
    assert here.v2.stored(1) == v2(rev=2, by="write", note="later")


async def test_a_writers_body_replaces_a_readers_repair_of_its_own_revision() -> None:
    """A reader that repaired V2 from V1 meanwhile could not know the note."""
    here = world([ada_v1()])
    await here.repository.get(1)
    here.before("bodies", "apply", lambda: here.rival().get(1))
    await here.repository.update(1, lambda person: evolve(person, note="new"))
    assert here.v2.stored(1) == v2(rev=1, by="read", note="new")
    assert await here.repository.get(1) == ada(note="new")


async def test_a_write_whose_place_in_v2_was_purged_starts_from_v1() -> None:
    """V2 lost the document between ticket and retry: V1 has the truth, and the announcement is made again."""
    here = world([ada_v1()])

    async def purged() -> None:
        await here.rival().update(1, older)
        await here.v2.delete_one({"_id": 1})

    here.before("v1", "compare_and_set", purged)
    assert await here.repository.update(1, older) == ada(age=38)
    assert here.v1.stored(1) == ada_v1(age=38) | {REV: 3}
    assert here.v2.stored(1) == v2(rev=3, by="write", age=38)


# ---- insert ----------------------------------------------------------------------------------------------------------


async def test_insert_over_a_tombstone() -> None:
    """The second life is at a higher revision than the first ever was."""
    here = world([], [gone(7, 7, TestClock().now())])
    await here.repository.insert(ada())
    revision = (here.v1.stored(1) or {})[REV]
    assert revision == 7 + pick_unused_step(TestClock())
    assert here.v2.stored(1) == v2(rev=revision)


async def test_insert_over_a_placeholder() -> None:
    """Somebody announced an insert and died: the next one finds the place free."""
    here = world([], [gone(-1, 3, TestClock().now())])
    await here.repository.insert(ada())
    revision = (here.v1.stored(1) or {})[REV]
    assert revision == 3 + pick_unused_step(TestClock())
    assert here.v2.stored(1) == v2(rev=revision)


async def test_an_insert_repeats_no_revision_that_v2_does_not_know_of() -> None:
    """Insert announces, update reads V1, delete removes it, insert stores: the update loses against the new entity."""
    here = world([ada_v1() | {REV: 1}], [])
    announced = await calls_of(here.repository).pair.ledger.vacant_ticket(1, pick_unused_step(here.clock))
    assert announced is not None
    await here.repository.delete(1)
    assert await calls_of(here.repository).pair.v1.insert(1, {"name": "Another One", "age": 2}, announced.intent)
    assert await calls_of(here.repository).pair.v1.compare_and_set(1, 1, announced.intent + 1, {"age": 99}) is False


async def test_insert_over_a_delete_that_died_half_way() -> None:
    """V2's body is a dead entity's: it is announced over, and nothing of it is left."""
    here = world([], [v2(rev=3, intent=4, note="of the dead")])
    await here.repository.insert(ada())
    revision = (here.v1.stored(1) or {})[REV]
    assert revision == 4 + pick_unused_step(TestClock())
    assert here.v2.stored(1) == v2(rev=revision)


async def test_insert_finds_a_dirty_entity() -> None:
    """V1 is asked, and has it."""
    here = world([ada_v1() | {REV: 3}], [v2(rev=3, intent=4)])
    with pytest.raises(AlreadyExists):
        await here.repository.insert(ada(age=1))
    assert here.v1.stored(1) == ada_v1() | {REV: 3}
    assert here.v2.stored(1) == v2(rev=3, intent=4)


async def test_two_inserts_of_one_id() -> None:
    """V1 decides; the loser closes its announcement, so that reads take one round trip again."""
    here = world()
    here.before("v1", "insert", lambda: here.rival().insert(ada(note="first")))
    with pytest.raises(AlreadyExists):
        await here.repository.insert(ada(age=1))
    assert await here.repository.get(1) == ada(note="first")
    stored = here.v2.stored(1)
    assert stored is not None
    assert stored[META]["rev"] == stored[META]["intent"] == (here.v1.stored(1) or {})[REV]


async def test_an_insert_that_cannot_settle_is_refused_all_the_same() -> None:
    """The document that has the id does not convert: that is its next reader's matter."""
    here = world([ada_v1(name="Plato")])
    with pytest.raises(AlreadyExists):
        await here.repository.insert(ada())
    assert here.counts == {"left_dirty": 1}
    assert here.v1.stored(1) == ada_v1(name="Plato")


# ---- purge -----------------------------------------------------------------------------------------------------------


async def purged(here: World) -> bool:
    """The outcome of a purge of what stands."""
    seen = await calls_of(here.repository).pair.bodies.find(1)
    assert seen is not None
    return await protocol.purge(calls_of(here.repository).pair, seen, GRACE)


def dead_delete(at: Any) -> dict[str, Any]:
    """A delete that died between V1 and its tombstone."""
    document = v2(rev=3, intent=4)
    document[META]["at"] = at
    return document


OLD = TestClock().now() - GRACE


@pytest.mark.parametrize(
    "document", [gone(4, 4, OLD), gone(-1, 2, OLD), dead_delete(OLD)], ids=["tombstone", "placeholder", "dead delete"]
)
async def test_purge_removes_what_a_delete_left(document: Any) -> None:
    """Once the grace period is over and V1 still lacks the entity."""
    here = world([], [document])
    assert await purged(here) is True
    assert here.v2.stored(1) is None


@pytest.mark.parametrize(
    ("truth", "document"),
    [
        ([], gone(4, 4, OLD + timedelta(seconds=1))),
        ([ada_v1() | {REV: 3}], dead_delete(OLD)),
        ([], v2(rev=3)),
    ],
    ids=["too young", "V1 has the entity", "clean"],
)
async def test_purge_keeps_what_may_still_be_needed(truth: Any, document: Any) -> None:
    """Too young, not a remainder, or clean."""
    here = world(truth, [document])
    assert await purged(here) is False
    assert here.v2.stored(1) == document


async def test_purge_keeps_what_changed_meanwhile() -> None:
    """An insert announced itself after V1 was seen empty."""
    here = world([], [gone(4, 4, OLD)])
    here.after("v1", "find", lambda: here.rival().insert(ada()))
    assert await purged(here) is False
    assert await here.repository.get(1) == ada()


# ---- without concurrency, at random ----------------------------------------------------------------------------------


class Model:
    """A dictionary that says what the repository should answer, and random calls on both."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.here = world()
        self.doors = [self.here.repository, self.here.rival()]
        self.people: dict[int, PersonV2] = {}

    async def insert(self, door: Any, id: int, step: int) -> None:
        if id not in self.people:
            self.people[id] = await door.insert(ada(id, age=step, note=f"{step}"))
            return
        with pytest.raises(AlreadyExists):
            await door.insert(ada(id))

    async def update(self, door: Any, id: int, step: int) -> None:
        if id in self.people:
            self.people[id] = await door.update(id, lambda person: evolve(person, age=step))

    async def update_v1(self, door: Any, id: int, step: int) -> None:
        if id in self.people:
            await door.v1.update(id, lambda person: evolve(person, age=step))
            self.people[id] = evolve(self.people[id], age=step)

    async def delete(self, door: Any, id: int, step: int) -> None:
        if self.people.pop(id, None):
            await door.delete(id)
        with pytest.raises(NotFound):
            await door.delete(id)

    async def get(self, door: Any, id: int, step: int) -> None:
        assert await door.get(id) == self.people.get(id)

    async def get_many(self, door: Any, id: int, step: int) -> None:
        assert await door.get_many(range(4)) == self.people

    async def mark(self, door: Any, id: int, step: int) -> None:
        """A writer announces itself and dies."""
        await calls_of(door).pair.ledger.ticket(id)

    async def forget(self, door: Any, id: int, step: int) -> None:
        """V2 loses a document, and with it what only V2 has; nothing else is lost."""
        await self.here.v2.delete_one({"_id": id})
        if id in self.people:
            self.people[id] = evolve(self.people[id], note=None)

    async def one(self, step: int) -> None:
        """One random call, some time after the last."""
        calls = (
            self.insert, self.update, self.update_v1, self.delete, self.get, self.get_many, self.mark, self.forget
        )  # fmt: skip
        await self.chance.choice(calls)(self.chance.choice(self.doors), self.chance.randrange(4), step)
        self.here.clock.time += timedelta(seconds=self.chance.choice([0, 10]))


async def test_any_sequence_of_calls_agrees_with_a_dictionary() -> None:
    """Calls through both doors and of two processes, with dead writers' marks and lost V2 documents in between."""
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")
    model = Model(random.Random(seed))
    for step in range(600):
        await model.one(step)
    assert await model.here.repository.get_many(range(4)) == model.people
