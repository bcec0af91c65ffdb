"""The next step's conditions at each look: none is shown as met once the look has seen what closes it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from datetime import timedelta

import pytest

from lazymig import Mismatch, Phase, Verdict
from lazymig.control.following import CatchUp
from lazymig.status import gates, looking
from lazymig.status.looking import Status, looked_up
from lazymig.stores.records import DeadLetter
from lazymig.switch import Gate
from lazymig.switching import gates as of_two
from lazymig.switching.case import AnyCase, Demands
from lazymig.switching.in_place import gates as of_one
from tests.sweeps import moved, thing
from tests.switches import COUNT, Ready, process

IN_MEMORY = pytest.mark.parametrize("driver", ["mock"])
Close = Callable[[Ready], Awaitable[object]]


async def add_letter(on: Ready) -> None:
    await on.parts.letters.record([DeadLetter("things", 1, 0, "upgrade", "ValueError", "", "")])


async def add_mismatch(on: Ready) -> None:
    await on.parts.mismatches.record("things", [Mismatch(1, Verdict.DIFFERENT, confirmed=True)])


async def dark_read_differs(on: Ready) -> None:
    await on.parts.mismatches.record("things", [Mismatch(1, Verdict.DIFFERENT, source="dark read")])


async def add_to_v1(on: Ready) -> None:
    await on.database["v1"].insert_one(thing(99))


async def let_one_wait(on: Ready) -> None:
    waits = {"_id": 98, "_lazymig": {"rev": 0, "intent": 0, "unmoved": "waiting"}}
    await on.database["v2"].insert_one(waits)


async def join_with_another_revision(on: Ready) -> None:
    await on.parts.members("things").register(process(revision=7))


async def find_some_missing(on: Ready) -> None:
    await on.verify(missing=2)


async def lose_changes(on: Ready) -> None:
    following = on.parts.following("things")
    claim = await following.claim("a")
    assert claim is not None
    await following.begin_catch_up(claim, {"_data": "1"}, CatchUp("its position was lost", on.clock.now(), 0))


async def begin_a_sweep(on: Ready) -> None:
    await on.parts.runners("things").report(
        "a",
        {
            "process": "a:1", "of": "sweep", "since": on.clock.now(), "done": 1, "paused": False, "throttle": "",
            "rate": None, "concurrency": 1, "batch": 1, "per_s": 1.0,
        },
    )  # fmt: skip
    await on.parts.members("things").register(process("sweep:1", role="sweep"))


CLOSED: dict[str, tuple[str, Close]] = {
    "a dead letter": ("dead-letters", add_letter),
    "a mismatch": ("mismatches", add_mismatch),
    "a dark read": ("mismatches", dark_read_differs),
    "an entity in V1": ("remaining", add_to_v1),
    "one that waits": ("waiting", let_one_wait),
    "another release": ("releases", join_with_another_revision),
    "a verification": ("verification", find_some_missing),
    "a verification, soak": ("soak", find_some_missing),
    "a lost position": ("outside-writes", lose_changes),
    "a sweep": ("tools", begin_a_sweep),
}


@pytest.fixture
def slow_looks(monkeypatch: pytest.MonkeyPatch) -> list[None]:
    """The looks that judged everything."""
    looks: list[None] = []
    slowly = looking._look_up_slowly

    async def counted(*given: object, **options: object) -> object:
        looks.append(None)
        return await slowly(*given, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(looking, "_look_up_slowly", counted)
    return looks


def gate_of(found: Status, name: str) -> Gate:
    assert found.plan is not None
    return next(gate for gate in found.plan.gates if gate.name == name)


async def look(on: Ready, before: Status | None = None) -> Status:
    """Look a second later."""
    on.clock.time += timedelta(seconds=1)
    return await looked_up(on.repo, exact=False, before=before, demands=Demands(soak_s=0))


@IN_MEMORY
@pytest.mark.parametrize("why", CLOSED)
async def test_what_has_closed_is_closed_at_the_next_look(database: object, why: str, slow_looks: list[None]) -> None:
    """A fact that the look reads closes its condition at once, without a new check of all of them."""
    name, close = CLOSED[why]
    on = Ready(database)
    await on.begin(Phase.V2_PRIMARY)
    first = await look(on)
    assert gate_of(first, name).state != "closed"
    await close(on)
    second = await look(on, first)
    assert gate_of(second, name).state == "closed"
    assert len(slow_looks) == 1
    assert gate_of(await look(on, second), name) == gate_of(second, name)


@IN_MEMORY
async def test_an_open_write_is_judged_by_its_age_at_each_look(database: object, slow_looks: list[None]) -> None:
    """What closes is that time goes by: the number of open writes is the same."""
    on = Ready(database)
    await on.begin(Phase.V2_PRIMARY)
    document = moved(97)
    document["_lazymig"] |= {"intent": 1, "at": on.clock.now()}
    await on.database["v2"].insert_one(document)
    await on.database["v1"].insert_one(thing(97))
    first = await look(on)
    assert gate_of(first, "open-writes").state == "open"
    on.clock.time += timedelta(seconds=25)
    second = await look(on, first)
    assert (gate_of(second, "open-writes").state, len(slow_looks)) == ("closed", 1)


@IN_MEMORY
async def test_what_stays_the_same_is_not_judged_again(database: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """Heartbeats, and counts that go up while a sweep runs, judge nothing again: a look stays cheap."""
    on = Ready(database)
    await on.begin(Phase.V2_PRIMARY)
    members = on.parts.members("things")
    await members.register(process())
    first = await look(on)

    async def never(*_: object) -> None:
        raise AssertionError("nothing has changed")

    monkeypatch.setattr(looking, "judge_again", never)
    await members.renew(process(beat=2, seen_at=on.clock.now()))
    assert (await look(on, first)).plan == first.plan


@IN_MEMORY
async def test_what_costs_too_much_is_doubted(
    database: object, monkeypatch: pytest.MonkeyPatch, slow_looks: list[None]
) -> None:
    """Of a large collection no look counts one by one: the condition is unknown until all are judged again."""
    monkeypatch.setattr(gates, "SMALL", COUNT)
    on = Ready(database)
    await on.begin(Phase.V2_PRIMARY)
    await on.database["v1"].insert_one(thing(96))
    await on.database["v2"].insert_one(moved(96))

    async def later(known: object, _: object) -> object:
        return known.slow  # type: ignore[attr-defined]

    first = await look(on)
    assert gate_of(first, "remaining").state == "open"
    await on.database["v1"].insert_many([thing(id) for id in range(100, 300)])
    doubted = await looked_up(on.repo, exact=False, before=first, demands=Demands(soak_s=0), choose=later)  # type: ignore[arg-type]
    assert gate_of(doubted, "remaining").state == "unknown"
    assert doubted.plan is not None
    assert doubted.plan.blocked
    await add_letter(on)
    both = await looked_up(on.repo, exact=False, before=doubted, demands=Demands(soak_s=0), choose=later)  # type: ignore[arg-type]
    assert [gate_of(both, name).state for name in ("remaining", "dead-letters")] == ["unknown", "closed"]
    assert len(slow_looks) == 1
    judged = await look(on, both)
    assert (gate_of(judged, "remaining").state, len(slow_looks)) == ("closed", 2)
    await on.database["v2"].insert_many([moved(id) for id in range(100, 300)])
    moved_all = await looked_up(on.repo, exact=False, before=judged, demands=Demands(soak_s=0), choose=later)  # type: ignore[arg-type]
    assert gate_of(moved_all, "remaining").state == "unknown", "nor may it say that so many are lacking"


def test_every_condition_says_what_it_rests_on() -> None:
    """A new condition has a row, or is one of those that only the record or checks of the collections show."""
    by_record_or_checks = {"collections", "options", "cohorts", "indexes", "seal"}
    assert set(_names()) == set(gates.RESTS_ON) | by_record_or_checks
    costly = {"remaining", "waiting"}
    others = frozenset().union(*(facts for name, facts in gates.RESTS_ON.items() if name not in costly))
    for name in costly:
        assert not gates.RESTS_ON[name] & others, "what is not judged again must not have others judged each time"


def _names() -> Iterator[str]:
    """The names of all conditions, by the functions that check them."""
    special = {"last_outside_writes": "outside-writes", "can_be_sealed": "seal"}
    for table in (of_two.GATES, of_one.GATES):
        for checks in table.values():
            for check in checks:
                function: Callable[[AnyCase], Awaitable[Gate]] = getattr(check, "func", check)
                yield special.get(function.__name__, function.__name__.replace("_", "-"))
