"""Updates of one entity that share a turn: each caller gets its own result, and what it cannot have drops out alone."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable
from typing import Any

import pytest
from attrs import evolve
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pymongo.errors import DuplicateKeyError, NetworkTimeout

from lazymig import Contention, ConversionError, NotFound, NotYet, Phase, Repository
from lazymig.loop import rounds
from lazymig.protocol import joining
from lazymig.repository import calls_of
from lazymig.shapes.leaving import LEAVE
from lazymig.testing import memory_repository
from tests.clocks import standing_loop
from tests.people import PersonV1, PersonV2, ada, join_on, people, split
from tests.taking_turns import check_order, let_others_run, open_yielding, tagging, turns, write_joined
from tests.widening import WIDENING

CALLER: contextvars.ContextVar[str] = contextvars.ContextVar("caller", default="nobody")
PLACES = [
    *((phase, False) for phase in Phase),
    *((phase, True) for phase in Phase if phase is not Phase.PREPARE),
]
EVERYWHERE = pytest.mark.parametrize(("phase", "in_place"), PLACES, ids=str)
BOTH_LAYOUTS = pytest.mark.parametrize("in_place", [False, True], ids=["two collections", "one document"])
DRAWN = settings(
    max_examples=300 if WIDENING.full else 8,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
BOTH_DOORS = pytest.mark.parametrize("door", ["V2", "V1"])


def open_door(repository: Repository[Any, Any], door: str) -> Any:
    return repository if door == "V2" else repository.v1


async def filled(phase: Phase = Phase.COEXIST, **options: Any) -> tuple[Repository[Any, Any], list[str]]:
    """A repository with one person without tags, who is in V2 where that is filled, and the statements from then on."""
    repository, statements = open_yielding(phase, **options)
    await repository.insert(ada(1, tags=[]))
    await repository.get(1)
    statements.clear()
    return repository, statements


@pytest.fixture(autouse=True)
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """No turn ends early, and no change counts as slow, because the machine is busy."""
    monkeypatch.setattr(joining, "DECIDING_S", 60.0)
    monkeypatch.setattr(joining, "PATIENCE_S", 60.0)
    monkeypatch.setattr(rounds, "PATIENCE_S", 60.0)


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """A change that takes some turns of the loop is slow."""
    monkeypatch.setattr(joining, "PATIENCE_S", 0.0)
    monkeypatch.setattr(rounds, "PATIENCE_S", 0.0)


async def results_of(*calls: Any) -> list[Any]:
    return await asyncio.gather(*calls, return_exceptions=True)


@EVERYWHERE
@BOTH_DOORS
async def test_each_gets_the_result_of_its_own(phase: Phase, in_place: bool, door: str) -> None:
    """It holds what those before it have changed and nothing of those behind it; two writes carry all."""
    repository, statements = await filled(phase, in_place=in_place)
    update = open_door(repository, door).update
    found = await asyncio.gather(*(update(1, tagging(str(number))) for number in range(20)))
    assert [person.tags for person in found] == [[str(number) for number in range(last + 1)] for last in range(20)]
    assert len({id(person.tags) for person in found}) == 20
    for answer in (await repository.get(1), await repository.v1.get(1)):
        assert answer.tags == found[-1].tags
    writes = [name for name in statements if name in ("compare_and_set", "replace", "change")]
    assert len(writes) == 2  # the first by itself


@BOTH_LAYOUTS
async def test_doors_and_other_writes_keep_the_order_of_arrival(in_place: bool) -> None:
    """Runs of updates share turns; whatever is between them has a turn of its own."""
    repository, statements = await filled(in_place=in_place)
    found = await asyncio.gather(
        *(repository.update(1, tagging(name)) for name in "abc"),
        repository.v1.update(1, tagging("d")),
        repository.v1.update(1, tagging("e")),
        repository.replace(ada(1, tags=["new"])),
        *(repository.update(1, tagging(name)) for name in "fg"),
    )
    assert [person.tags for person in found] == [
        list("a"), list("ab"), list("abc"), list("abcd"), list("abcde"), ["new"], ["new", "f"], ["new", "f", "g"],
    ]  # fmt: skip
    assert sum(name in ("compare_and_set", "change") for name in statements) == 5
    results = await results_of(
        repository.update(1, tagging("h")), repository.delete(1), repository.update(1, tagging("i"))
    )
    assert results[0].tags == ["new", "f", "g", "h"]
    assert results[1] is None
    assert isinstance(results[2], NotFound)


async def test_a_missing_entity_is_missing_for_all() -> None:
    """Each gets an error of its own."""
    repository, _ = open_yielding()
    results = await results_of(*(repository.update(1, tagging(name)) for name in "abc"))
    assert [type(result) for result in results] == [NotFound] * 3
    assert len({id(result) for result in results}) == 3
    assert await calls_of(repository).pair.bodies.find(1) is None


async def test_without_coalescing_each_goes_by_itself() -> None:
    """As the option says; the same holds in a session."""
    repository, statements = await filled(coalesce=False)
    await asyncio.gather(*(repository.update(1, tagging(name)) for name in "ab"))
    assert statements.count("begin_ticket") == 2
    assert calls_of(repository).turns is None


# ---- dropping out ---------------------------------------------------------------------------------------------------


class Refused(Exception):
    """What a change may raise."""


def refuse(person: Any) -> Any:
    """Alter the person in place, as far as that goes, and raise."""
    person.tags.append("refused")
    raise Refused


def unstorable(person: Any) -> Any:
    """A person that would be read back as another one."""
    return evolve(person, age="old")


@EVERYWHERE
@BOTH_DOORS
@pytest.mark.parametrize(("change", "error"), [(refuse, Refused), (unstorable, ConversionError)], ids=["refuse", "bad"])
async def test_one_that_fails_drops_out_alone(phase: Phase, in_place: bool, door: str, change: Any, error: Any) -> None:
    """The next starts from what was before it, wherever in its turn it stands."""
    repository, _ = await filled(phase, in_place=in_place)
    update = open_door(repository, door).update
    changes = [tagging("a"), change, tagging("b"), change, tagging("c"), change]
    results = await results_of(*(update(1, one) for one in changes))
    assert [getattr(result, "tags", type(result)) for result in results] == [
        list("a"), error, list("ab"), error, list("abc"), error,
    ]  # fmt: skip
    assert (await repository.get(1)).tags == list("abc")


@BOTH_LAYOUTS
async def test_where_all_fail_nothing_is_stored(in_place: bool) -> None:
    """Nor is anything left announced."""
    repository, _ = await filled(in_place=in_place)
    results = await results_of(*(repository.update(1, one) for one in (refuse, refuse, unstorable)))
    assert [type(result) for result in results] == [Refused, Refused, ConversionError]
    assert (await repository.get(1)).tags == []
    if not in_place:
        assert (await calls_of(repository).pair.bodies.find(1)).clean


@BOTH_LAYOUTS
async def test_what_the_store_refuses_is_its_own_callers(in_place: bool) -> None:
    """Nothing was stored then, so the others are made one by one."""
    repository, _ = await filled(in_place=in_place)
    await repository.collections.v1.create_index("age", unique=True)
    await repository.insert(ada(2, age=77))

    def take_age(person: PersonV2) -> PersonV2:
        return evolve(person, age=77)

    results = await results_of(
        *(repository.update(1, one) for one in (tagging("a"), tagging("b"), take_age, tagging("c")))
    )
    assert [getattr(result, "tags", type(result)) for result in results] == [
        list("a"), list("ab"), DuplicateKeyError, list("abc"),
    ]  # fmt: skip
    stored = await repository.v1.get(1)
    assert (stored.tags, stored.age) == (list("abc"), 36)


async def test_errors_of_statements_are_everybodys() -> None:
    """One that all attempts have lost, too."""
    repository, _ = await filled(max_attempts=2)

    async def lose(*_: Any) -> bool:
        return False

    pair = calls_of(repository).pair
    pair.v1.compare_and_set = lose  # type: ignore[method-assign]
    results = await results_of(*(repository.update(1, tagging(name)) for name in "abc"))
    assert [type(result) for result in results] == [Contention] * 3
    assert {result.attempts for result in results} == {2}


@pytest.mark.parametrize("why", [LEAVE, NotYet("no address")], ids=["left", "waiting"])
@BOTH_LAYOUTS
async def test_an_entity_that_v2_does_not_have(in_place: bool, why: Any) -> None:
    """V2's door has it for none of them; V1's door updates it in turns as any other."""

    def upgrade(v1: PersonV1) -> Any:
        if v1.name != "Odd One":
            return split(v1)
        if why is LEAVE:
            return LEAVE
        raise why

    repository, _ = open_yielding(in_place=in_place, migration=people(upgrade=upgrade))
    await repository.v1.insert(PersonV1(1, "Odd One"))
    results = await results_of(*(repository.update(1, tagging(name)) for name in "abc"))
    assert [type(result) for result in results] == [NotFound if why is LEAVE else ConversionError] * 3
    found = await asyncio.gather(*(repository.v1.update(1, tagging(name)) for name in "abc"))
    assert [person.tags for person in found] == [list("a"), list("ab"), list("abc")]
    named = await asyncio.gather(
        *(repository.v1.update(1, lambda person, name=name: evolve(person, name=f"New {name}")) for name in "xyz")
    )
    assert [person.name for person in named] == ["New x", "New y", "New z"]
    assert (await repository.get(1)).last == "z"


# ---- as if each had been made by itself -----------------------------------------------------------------------------

STEPS: dict[str, Callable[[Any], Any]] = {
    "tag": lambda person: evolve(person, tags=[*person.tags, "tag"]),
    "untag": lambda person: evolve(person, tags=person.tags[:-1]),
    "older": lambda person: evolve(person, age=(person.age or 0) + 1),
    "ageless": lambda person: evolve(person, age=None),
    "refuse": refuse,
    "bad": unstorable,
}
STEPS_OF_V2 = STEPS | {
    "note": lambda person: evolve(person, note=f"{person.note or ''}n"),
    "rename": lambda person: evolve(person, first=person.first + "a"),
    "back": lambda person: evolve(person, first="Ada", note=None),
}
STEPS_OF_V1 = STEPS | {
    "rename": lambda person: evolve(person, name=person.name + "a"),
    "one word": lambda person: evolve(person, name="Ada"),
}
MIGRATIONS = {"plain": people(), "downgrade takes V1": people(downgrade=join_on)}


async def stored_by(repository: Repository[Any, Any]) -> list[Any]:
    """What is stored of the person, but for revisions."""
    collections = {id(one): one for one in repository.collections}.values()
    documents = [await collection.find_one({"_id": 1}) for collection in collections]
    for document in documents:
        if document is not None:
            document.pop("_lazymig_rev", None)
            meta = document.pop("_lazymig", {})
            document["meta"] = {
                name: value for name, value in meta.items() if name in ("gone", "unmoved", "alone", "of")
            }
    return documents


@EVERYWHERE
@DRAWN
@given(data=st.data())
async def test_joined_updates_are_what_each_would_be_by_itself(phase: Phase, in_place: bool, data: Any) -> None:
    """The same results, errors and documents, for any changes, through either door and with all that conversions may
    take."""
    migration = MIGRATIONS[data.draw(st.sampled_from(sorted(MIGRATIONS)))]
    v1 = data.draw(st.booleans())
    names = data.draw(st.lists(st.sampled_from(sorted(STEPS_OF_V1 if v1 else STEPS_OF_V2)), min_size=1, max_size=5))
    known = data.draw(st.booleans())
    checked = not in_place and phase is not Phase.V2_ONLY and data.draw(st.booleans())
    changes = [(STEPS_OF_V1 if v1 else STEPS_OF_V2)[name] for name in names]
    options = {"checked": checked} if checked else {}
    sides = [memory_repository(migration, phase, in_place=in_place, **options) for _ in range(2)]
    for side in sides:
        await side.collections.v1.insert_one({"_id": 1, "name": "Ada Lovelace", "age": 3, "tags": [], "shoe_size": 38})
        if phase is Phase.V2_ONLY and not in_place:
            before = Repository(migration, v1=side.collections.v1, v2=side.collections.v2, phase=Phase.COEXIST)
            await before.get(1)
        if known:
            await side.get(1)
    joined, single = sides
    outcomes = await write_joined(joined, 1, changes, v1=v1)
    door = single.v1 if v1 else single
    expected = [(await results_of(door.update(1, change)))[0] for change in changes]
    got = [getattr(outcome, "entity", type(outcome)) for outcome in outcomes]
    assert got == [type(one) if isinstance(one, BaseException) else one for one in expected]
    assert await stored_by(joined) == await stored_by(single)


# ---- user code ------------------------------------------------------------------------------------------------------


@BOTH_DOORS
async def test_a_change_is_called_in_the_context_of_its_caller(door: str) -> None:
    """Sync or async."""
    repository, _ = await filled()
    seen = []

    def note(person: Any) -> Any:
        seen.append(CALLER.get())
        return person

    async def note_later(person: Any) -> Any:
        await asyncio.sleep(0)
        return note(person)

    async def call(name: str, change: Any) -> None:
        CALLER.set(name)
        await open_door(repository, door).update(1, change)

    await asyncio.gather(call("a", note), call("b", note), call("c", note_later), call("d", note_later))
    assert seen == ["a", "b", "c", "d"]


async def test_a_change_may_call_the_repository() -> None:
    """Even for the entity that it changes: that call waits for nobody who waits for it."""
    repository, _ = await filled()
    await repository.insert(ada(2, tags=[]))

    async def nested(person: PersonV2) -> PersonV2:
        other = await repository.update(2, tagging(f"by {len(person.tags)}"))
        return evolve(person, tags=[*person.tags, other.tags[-1]])

    found = await asyncio.gather(*(repository.update(1, nested) for _ in range(4)))
    check_order((await repository.get(1)).tags, {person.tags[-1]: person.tags for person in found})
    assert len(found[-1].tags) == 4


@pytest.mark.usefixtures("hurried")
async def test_a_slow_change_holds_up_nobody() -> None:
    """Neither one that has its turn alone nor one that shares it: the others are over before it, and it starts from
    what they have stored."""
    repository, _ = await filled()
    for others_first in (False, True):
        go, began = asyncio.Event(), asyncio.Event()

        async def wait(person: PersonV2, go: Any = go, began: Any = began) -> PersonV2:
            began.set()
            await go.wait()
            return tagging("slow")(person)

        await repository.replace(ada(1, tags=[]))
        before = [repository.update(1, tagging(name)) for name in ("a", "b") if others_first]
        tasks = [asyncio.ensure_future(call) for call in (*before, repository.update(1, wait))]
        slow = tasks.pop()
        tasks += [asyncio.ensure_future(repository.update(1, tagging(name))) for name in ("c", "d", "e")]
        found = await asyncio.gather(*tasks)
        assert began.is_set()
        assert not slow.done()
        go.set()
        check_order((await slow).tags, {person.tags[-1]: person.tags for person in found} | {"slow": (await slow).tags})


@pytest.mark.usefixtures("hurried")
async def test_a_slow_change_that_shares_a_turn_is_cancelled_and_called_again() -> None:
    """By its own caller, once its code is over."""
    repository, _ = await filled()
    go, calls = asyncio.Event(), []

    async def wait(person: PersonV2) -> PersonV2:
        calls.append("called")
        try:
            await go.wait()
        except asyncio.CancelledError:
            await asyncio.sleep(0)
            calls.append("cancelled")
            raise
        return tagging("slow")(person)

    tasks = [asyncio.ensure_future(repository.update(1, change)) for change in (tagging("a"), wait, tagging("b"))]
    await asyncio.wait([tasks[0], tasks[2]])
    await turns()
    assert calls == ["called", "cancelled", "called"]
    go.set()
    assert (await tasks[1]).tags == ["a", "b", "slow"]


@pytest.mark.usefixtures("hurried")
async def test_a_slow_change_has_its_own_callers_time() -> None:
    """The others are in time."""
    repository, _ = await filled(timeout_s=30)

    async def hang(_person: PersonV2) -> PersonV2:
        await asyncio.Event().wait()
        raise AssertionError

    with standing_loop() as time:
        tasks = [
            asyncio.ensure_future(repository.update(1, change)) for change in (tagging("a"), hang, tagging("b"), hang)
        ]
        await asyncio.wait([tasks[0], tasks[2]])
        time.move(31)
        results = await results_of(*tasks)
    assert [getattr(result, "tags", type(result)) for result in results] == [
        ["a"], NetworkTimeout, ["a", "b"], NetworkTimeout,
    ]  # fmt: skip


async def test_who_is_cancelled_drops_out_alone() -> None:
    """While it waits, and while its change runs, whose code is over before its caller is."""
    repository, _ = await filled()
    began, over = asyncio.Event(), []

    async def hang(_person: PersonV2) -> PersonV2:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            over.append("over")
        raise AssertionError

    changes = [tagging("a"), tagging("b"), hang, tagging("c"), tagging("d")]
    tasks = [asyncio.ensure_future(repository.update(1, change)) for change in changes]
    await began.wait()
    tasks[3].cancel()
    tasks[2].cancel()
    await asyncio.wait([tasks[2]])
    assert over == ["over"]
    results = await results_of(*tasks)
    assert [getattr(result, "tags", type(result)) for result in results] == [
        ["a"], ["a", "b"], asyncio.CancelledError, asyncio.CancelledError, ["a", "b", "d"],
    ]  # fmt: skip


@pytest.mark.parametrize("later", [False, True])
async def test_a_change_that_raises_what_is_no_exception(later: bool) -> None:
    """As a test's own `fail` does: it is its own caller's, and the others go on."""

    class Failed(BaseException):
        pass

    def fail(person: PersonV2) -> Any:
        async def at_last() -> PersonV2:
            raise Failed

        if later:
            return at_last()
        raise Failed

    repository, _ = await filled()
    first, second, failed, last = await results_of(
        *(repository.update(1, change) for change in (tagging("a"), tagging("b"), fail, tagging("c")))
    )
    assert isinstance(failed, Failed)
    assert [person.tags for person in (first, second, last)] == [["a"], ["a", "b"], ["a", "b", "c"]]


@pytest.mark.parametrize("later", [False, True])
async def test_a_change_that_raises_a_cancellation(later: bool) -> None:
    """It is its own caller's, as any error."""
    repository, _ = await filled()

    def cancel(_person: PersonV2) -> PersonV2:
        raise asyncio.CancelledError

    async def cancel_later(person: PersonV2) -> PersonV2:
        await asyncio.sleep(0)
        return cancel(person)

    results = await results_of(
        *(repository.update(1, change) for change in (tagging("a"), cancel_later if later else cancel, tagging("b")))
    )
    assert [getattr(result, "tags", type(result)) for result in results] == [
        ["a"], asyncio.CancelledError, ["a", "b"],
    ]  # fmt: skip


async def test_a_change_may_time_out_by_itself() -> None:
    """Its `TimeoutError` is its own caller's, and no sign of slowness."""
    repository, _ = await filled()

    async def late(_person: PersonV2) -> PersonV2:
        raise TimeoutError("the user's own")

    results = await results_of(*(repository.update(1, change) for change in (tagging("a"), late, tagging("b"))))
    assert [getattr(result, "tags", str(result)) for result in results] == [["a"], "the user's own", ["a", "b"]]


async def test_a_turn_stores_what_it_has_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that conversions which take long do not hold up those that have been decided already."""
    monkeypatch.setattr(joining, "DECIDING_S", -1.0)
    repository, statements = await filled()
    found = await asyncio.gather(*(repository.update(1, tagging(name)) for name in "abcd"))
    assert [person.tags for person in found] == [list("a"), list("ab"), list("abc"), list("abcd")]
    assert statements.count("begin_ticket") == 4


async def test_all_decide_again_after_a_lost_race() -> None:
    """From what the winner has stored: also one that has raised, and without those that are gone."""
    repository, _ = await filled()
    other = memory_repository(people())
    other._calls = calls_of(
        Repository(people(), v1=repository.collections.v1, v2=repository.collections.v2, phase=Phase.COEXIST)
    )
    let_others_run(other)
    calls: list[str] = []
    tasks: list[asyncio.Task[Any]] = []

    def noting(name: str, change: Any) -> Callable[[Any], Any]:
        def change_it(person: PersonV2) -> Any:
            calls.append(name)
            return change(person)

        return change_it

    async def lose(person: PersonV2) -> PersonV2:
        if calls.count("loser") == 1:
            tasks[4].cancel()
            await other.update(1, tagging("winner"))
        return tagging("loser")(person)

    def once_only(person: PersonV2) -> PersonV2:
        if "winner" not in person.tags:
            raise Refused
        return tagging("patient")(person)

    changes = [
        tagging("first"), noting("raiser", once_only), noting("early", tagging("early")), noting("loser", lose),
        noting("gone", tagging("gone")),
    ]  # fmt: skip
    tasks += [asyncio.ensure_future(repository.update(1, change)) for change in changes]
    results = await results_of(*tasks)
    assert isinstance(results.pop(), asyncio.CancelledError)
    final = (await repository.get(1)).tags
    assert final == ["first", "winner", "patient", "early", "loser"]
    assert [result.tags[-1] for result in results] == ["first", "patient", "early", "loser"]
    assert calls == ["raiser", "early", "loser", "raiser", "early", "loser"]


# ---- any mix --------------------------------------------------------------------------------------------------------


@BOTH_LAYOUTS
@DRAWN
@given(data=st.data())
async def test_any_mix_of_updates(in_place: bool, data: Any) -> None:
    """Through both doors, with changes that raise, are slow, or are cancelled at any moment: a linear history."""
    kinds = st.sampled_from(["V2", "V1", "async", "raise", "slow", "cancel", "cancel slow"])
    mix = data.draw(st.lists(kinds, min_size=2, max_size=12))
    moments = data.draw(st.lists(st.integers(0, 30), min_size=len(mix), max_size=len(mix)))
    with pytest.MonkeyPatch.context() as patch:
        for module in (rounds, joining):
            patch.setattr(module, "PATIENCE_S", 0)
        repository, _ = await filled(in_place=in_place)
        tasks = [_start(repository, kind, str(number)) for number, kind in enumerate(mix)]
        for moment in range(31):
            for task, kind, when in zip(tasks, mix, moments, strict=True):
                if kind.startswith("cancel") and when == moment:
                    task.cancel()
            await asyncio.sleep(0)
        results = await results_of(*tasks)
    seen = {
        str(number): result.tags for number, result in enumerate(results) if isinstance(result, PersonV1 | PersonV2)
    }
    for kind, result in zip(mix, results, strict=True):
        expected = Refused if kind == "raise" else asyncio.CancelledError if kind.startswith("cancel") else ()
        assert not isinstance(result, BaseException) or isinstance(result, expected), (kind, result)
    perhaps = [str(number) for number, kind in enumerate(mix) if kind.startswith("cancel")]
    final = (await repository.get(1)).tags
    check_order(final, seen, perhaps)
    assert (await repository.v1.get(1)).tags == final
    calls = calls_of(repository)
    assert calls.turns is not None
    await turns()
    assert not calls.turns._rounds._queues
    assert not calls.turns._rounds._running


def _start(repository: Repository[Any, Any], kind: str, name: str) -> asyncio.Task[Any]:
    async def later(person: Any) -> Any:
        for _ in range(20 if "slow" in kind else 1):
            await asyncio.sleep(0)
        return tagging(name)(person)

    change = refuse if kind == "raise" else tagging(name) if kind in ("V2", "V1", "cancel") else later
    door = repository.v1 if kind == "V1" else repository
    return asyncio.ensure_future(door.update(1, change))
