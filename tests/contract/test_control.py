"""A fleet under a control collection, on real servers: phases, change streams, transactions, and tools."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import pytest
from attrs import evolve

from lazymig import Control, DarkReads, Doctor, Follower, Migration, Phase, PhaseError, Repository, Sweeper, Verifier
from lazymig.cli.status import looked_up
from lazymig.control import control_beside
from lazymig.loop.clock import SYSTEM_CLOCK
from lazymig.membership.member import STREAMED_S
from lazymig.stores.drivers import await_if_needed
from lazymig.sweeping.retry import retry_dead
from tests.fleets import Operator, member_of, until
from tests.layouts import Layout
from tests.people import PersonV2, ada, ada_v1, people

UPWARDS = list(Phase)


@pytest.fixture
def layout() -> Layout:
    """The hand-over between two collections."""
    return Layout.TWO


@pytest.fixture
async def operator(database: Any) -> Operator:
    """The migration begins in `v1_only`."""
    operator = Operator(Control(database["control"]), people().name)
    await operator.begin(Phase.V1_ONLY)
    return operator


@pytest.fixture
async def repository(database: Any, operator: Operator) -> AsyncIterator[Repository[Any, Any]]:
    """One process."""
    async with open_repository(database) as repository:
        yield repository


def open_repository(database: Any, **options: Any) -> Repository[Any, Any]:
    return Repository(people(), v1=database["v1"], v2=database["v2"], phase=Control(database["control"]), **options)


@pytest.mark.parametrize("driver", ["pymongo", "motor"])
async def test_a_process_follows_the_phase_all_the_way_and_back(
    repository: Any, operator: Operator, driver: str
) -> None:
    """The same calls in each phase; nothing but the record changes."""
    await repository.insert(ada(1))
    for count, phase in enumerate([*UPWARDS[1:5], *UPWARDS[3::-1], *UPWARDS[1:]], 1):
        await operator.move(phase)
        await operator.acknowledged()
        assert repository.phase is phase
        assert str(repository) == f"<Repository people in {phase}, under control>"
        assert (await repository.update(1, lambda person, count=count: evolve(person, age=count))).age == count
        assert (await repository.get(1)).age == (await repository.v1.get(1)).age == count


@pytest.mark.parametrize("driver", ["pymongo", "motor"])
async def test_a_change_stream_shows_a_move_at_once(repository: Any, operator: Operator, driver: str) -> None:
    """Long before the process would look by itself."""
    await repository.check()
    keeper = member_of(repository)._keeper
    assert keeper is not None

    async def flows() -> bool:
        return keeper._stream.flowing

    await until(flows)
    took = []
    for phase in UPWARDS[1:4]:
        began_s = SYSTEM_CLOCK.monotonic()
        await operator.move(phase)
        await operator.acknowledged()
        took.append(SYSTEM_CLOCK.monotonic() - began_s)
    assert min(took) < STREAMED_S / 4


@pytest.mark.parametrize("driver", ["pymongo"])
async def test_a_process_that_joins_wakes_no_other(operator: Operator, database: Any, driver: str) -> None:
    """Its first look writes the record. The stream of all others reports moves, and not that."""
    phases = operator._phases
    async with (
        await database["control"].watch() as every,
        await database["control"].watch(phases.changes()._pipeline) as seen,
    ):
        for _ in range(3):
            await phases.find_newest()
        await operator.change(settings={})
        async with asyncio.timeout(20):
            positions = [(await every.next())["_id"] for _ in range(4)]
            assert (await seen.next())["_id"] == positions[-1]


@pytest.mark.parametrize("driver", ["pymongo", "motor"])
async def test_a_client_with_one_connection_is_enough(
    operator: Operator, database: Any, client: Any, lazymig_server: Any, driver: str
) -> None:
    """A change stream would occupy it for ever, and no call got through."""
    async with asyncio.timeout(20):
        narrow = type(client)(lazymig_server.uri, maxPoolSize=1)
        try:
            held = narrow[database.name]
            async with Repository(people(), v1=held["v1"], v2=held["v2"], phase=Control(held["control"])) as repository:
                await repository.insert(ada(1))
                await operator.move(Phase.PREPARE)
                await operator.acknowledged()
                assert await repository.get(1) == ada(1)
        finally:
            await await_if_needed(narrow.close())


@pytest.mark.parametrize("driver", ["pymongo", "motor"])
async def test_a_transaction_is_over_before_its_epoch_is_acknowledged(
    repository: Any, operator: Operator, database: Any, driver: str
) -> None:
    """It goes on in the phase in which it began, across a move; the next one runs in the new phase."""
    for name in ("v1", "v2"):
        await database.create_collection(name)
    await database["v1"].insert_many([ada_v1(1), ada_v1(2)])
    await repository.check()
    async with await await_if_needed(database.client.start_session()) as session:
        bound = repository.with_session(session)
        async with await await_if_needed(session.start_transaction()):
            await bound.update(1, lambda person: evolve(person, age=1))
            await operator.move(Phase.PREPARE)

            async def has_moved() -> bool:
                return repository.phase is Phase.PREPARE

            await until(has_moved)
            await bound.update(2, lambda person: evolve(person, age=2))
            async with asyncio.timeout(20):
                assert [person.age async for person in bound.list()] == [1, 2]
            assert not await operator.is_acknowledged()
            assert await database["v2"].count_documents({}) == 0
        await operator.acknowledged()
        assert await database["v2"].count_documents({}) == 0
        async with await await_if_needed(session.start_transaction()):
            await bound.update(1, lambda person: evolve(person, age=3))
    assert await database["v2"].count_documents({}) == 1
    assert {id: one.age for id, one in (await repository.get_many([1, 2])).items()} == {1: 3, 2: 2}


@pytest.mark.parametrize("driver", ["pymongo"])
async def test_many_transactions_in_a_row_hold_nothing_up(
    repository: Any, operator: Operator, database: Any, driver: str
) -> None:
    """One session that is in a transaction almost always."""
    await database["v1"].insert_one(ada_v1(1))
    await repository.check()
    over = asyncio.Event()

    async def work() -> int:
        count = 0
        async with database.client.start_session() as session:
            bound = repository.with_session(session)
            while not over.is_set():
                async with await session.start_transaction():
                    await bound.get(1)
                    count += 1
        return count

    working = asyncio.create_task(work())
    await operator.move(Phase.PREPARE)
    await operator.acknowledged()
    over.set()
    assert await working > 0


# ---- tools ----------------------------------------------------------------------------------------------------------


async def in_phase(operator: Operator, phase: Phase) -> None:
    for each in UPWARDS[1 : UPWARDS.index(phase) + 1]:
        await operator.move(each)


async def test_tools_that_read_do_not_join(database: Any, operator: Operator, repository: Any) -> None:
    """Status, the doctor and a rehearsal of a sweep work by what is recorded, and register nothing."""
    await database["v1"].insert_one(ada_v1(1))
    await in_phase(operator, Phase.SHADOW)
    assert (await looked_up(repository, exact=True)).phase == "shadow"
    assert (await Doctor(repository).run()).findings is not None
    assert (await Sweeper(repository, dry_run=True).run()).migrated == 1
    assert await operator.members() == []


@pytest.mark.parametrize("phase", [Phase.V1_ONLY, Phase.PREPARE, Phase.V2_ONLY])
async def test_tools_refuse_phases_that_do_not_fill_v2(
    phase: Phase, database: Any, operator: Operator, repository: Any, driver: str
) -> None:
    """They can be made in any phase, and say why when they are run. They leave nothing behind."""
    await in_phase(operator, phase)
    tools: list[Any] = [Sweeper(repository), Sweeper(repository, dry_run=True), Verifier(repository)]
    if driver != "mock":
        tools.append(Follower(repository))
    for tool in tools:
        with pytest.raises(PhaseError, match=f"runs only where V2 is filled from V1. In the phase {phase}"):
            await tool.run()
    with pytest.raises(PhaseError, match="a retry runs only where V2 is filled"):
        await retry_dead(repository, Control(database["control"]))
    assert await operator.members() == []


async def test_a_sweep_goes_on_across_a_move(database: Any, operator: Operator, repository: Any) -> None:
    """At a change it finishes what is in flight, acknowledges, and goes on; its role is shown."""
    await database["v1"].insert_many([ada_v1(id) for id in range(300)])
    await in_phase(operator, Phase.SHADOW)
    roles, paused = [], []

    def on_progress(_: Any) -> None:
        if not paused:
            paused.append(asyncio.create_task(move()))

    async def move() -> None:
        roles.extend(one.role for one in await operator.members())
        await operator.move(Phase.COEXIST)
        await operator.acknowledged()

    sweeper = Sweeper(repository, batch_size=20, partition_size=20, on_progress=on_progress)
    report = await sweeper.run()
    await paused[0]
    assert roles == ["sweep"]
    assert report.finished
    assert report.remaining == 0
    assert await database["v2"].count_documents({"first": "Ada"}) == 300
    assert await operator.members() == []


@pytest.mark.parametrize("driver", ["pymongo", "motor"])  # in memory it is done before it would look again
async def test_a_sweep_ends_where_the_phase_does_not_allow_it_any_more(
    database: Any, operator: Operator, repository: Any, driver: str
) -> None:
    """What it did is kept, and the next sweep goes on from there."""
    await database["v1"].insert_many([ada_v1(id) for id in range(300)])
    await in_phase(operator, Phase.SHADOW)
    moved: list[Any] = []

    def on_progress(_: Any) -> None:
        if not moved:
            moved.append(asyncio.create_task(operator.move(Phase.PREPARE)))

    async def goes_on() -> bool:
        return not moved or not moved[0].done()

    sweeper = Sweeper(repository, batch_size=20, partition_size=20, on_progress=on_progress, probe=goes_on)
    with pytest.raises(PhaseError, match=r"a sweep runs only where V2 is filled from V1. In the phase prepare"):
        await sweeper.run()
    assert await operator.members() == []
    kept = await database["v2"].count_documents({"first": "Ada"})
    assert 0 < kept < 300
    await operator.move(Phase.SHADOW)
    report = await Sweeper(repository, batch_size=20, partition_size=20).run()
    assert (report.finished, report.migrated) == (True, 300 - kept)


async def test_a_sweep_waits_while_writes_are_about_to_be_held(
    database: Any, operator: Operator, repository: Any
) -> None:
    """It has acknowledged before writes are held, and writes nothing until they are released."""
    await database["v1"].insert_many([ada_v1(id) for id in range(100)])
    await in_phase(operator, Phase.SHADOW)
    await operator.change(hold="announced")
    sweeping = asyncio.create_task(Sweeper(repository).run())

    async def has_joined() -> bool:
        return bool(await operator.members()) and await operator.is_acknowledged()

    await until(has_joined)
    await operator.change(hold="writes")
    await operator.acknowledged()
    assert await database["v2"].count_documents({"first": "Ada"}) == 0
    await operator.change(hold=None)
    assert (await sweeping).migrated == 100


@pytest.mark.parametrize("driver", ["pymongo"])
async def test_a_follower_goes_on_across_a_move(
    database: Any, operator: Operator, repository: Any, driver: str
) -> None:
    """It acknowledges, loses no change, and ends where V2 alone is the truth."""
    await database["v1"].insert_one(ada_v1(1))
    await in_phase(operator, Phase.COEXIST)
    follows = asyncio.Event()
    follower = Follower(repository, catch_up=False, on_progress=lambda _: follows.set())
    following = asyncio.create_task(follower.run())

    async def is_healed(age: int) -> bool:
        if following.done():
            following.result()
        found = await database["v2"].find_one({"_id": 1})
        return found is not None and found.get("age") == age

    await asyncio.wait_for(follows.wait(), 20)
    await database["v1"].update_one({"_id": 1}, {"$set": {"age": 40}})
    await until(lambda: is_healed(40))
    await operator.move(Phase.V2_PRIMARY)
    await database["v1"].update_one({"_id": 1}, {"$set": {"age": 50}})
    await operator.acknowledged()
    await until(lambda: is_healed(50))
    assert [one.role for one in await operator.members() if one.role == "follow"] == ["follow"]
    await operator.move(Phase.V2_ONLY)
    with pytest.raises(PhaseError, match=r"a follower runs only where V2 is filled from V1. In the phase v2_only"):
        await following
    assert await operator.members() == []


@pytest.mark.parametrize("driver", ["pymongo"])
async def test_dark_reads_follow_the_recorded_share(database: Any, operator: Operator, driver: str) -> None:
    """All processes compare the share that is recorded; without one, each its own."""
    dark = DarkReads(0)
    await database["v1"].insert_one(ada_v1(1))
    await in_phase(operator, Phase.SHADOW)
    async with open_repository(database, dark_reads=dark) as repository:
        await repository.get(1)
        await operator.change(settings={"dark_share": 1.0})
        await operator.acknowledged()
        await repository.get(1)
        await repository._calls.drain()
        assert dark.counts["compared"] == 1
        await operator.change(settings={"dark_share": None})
        await operator.acknowledged()
        await repository.get(1)
        await repository._calls.drain()
        assert dark.counts["compared"] == 1


# ---- V1's door across the seal --------------------------------------------------------------------------------------


async def names(listing: Any) -> list[str]:
    return [person.name async for person in listing]


@pytest.mark.parametrize("driver", ["pymongo"])
async def test_the_v1_view_never_answers_from_a_stale_v1(
    database: Any, driver: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that held its writes, and knows of the switch later than others, asks before it answers from V1."""
    operator = Operator(Control(database["control"]), people().name)
    await operator.begin(Phase.V2_PRIMARY)
    one, other = (
        Repository(people(), v1=database["v1"], v2=database["v2"], phase=Control(database["control"])) for _ in range(2)
    )
    async with one, other:
        await one.insert(ada(1))
        await other.check()
        await operator.change(hold="writes")
        await operator.acknowledged()
        assert (await other.v1.get(1)).name == "Ada Lovelace"  # reads go on
        away, reconnected, exchange = asyncio.Event(), asyncio.Event(), member_of(other).exchange

        async def cut_off() -> None:
            away.set()
            await reconnected.wait()
            await exchange()

        is_recorded, looks = member_of(other).is_recorded, []

        async def counted(known: Any) -> bool:
            looks.append(known)
            return await is_recorded(known)

        async def asking(looks: list[Any]) -> bool:
            return len(looks) >= len(asked) + 1  # and the listing

        monkeypatch.setattr(member_of(other), "is_recorded", counted)
        monkeypatch.setattr(member_of(other), "exchange", cut_off)
        await asyncio.wait_for(away.wait(), 20)
        await operator.move(Phase.V2_ONLY)
        await one.update(1, lambda person: evolve(person, first="Grace"))
        await one.insert(ada(2))
        assert other.phase is Phase.V2_PRIMARY
        asked = [
            asyncio.ensure_future(one)
            for one in (other.v1.get(1), other.v1.exists(2), other.v1.count(), other.v1.get_many([1, 2]))
        ]
        listed = asyncio.ensure_future(names(other.v1.list()))
        assert (await other.get(1)).first == "Grace"  # V2's door need not ask
        await until(lambda: asking(looks))
        reconnected.set()
        async with asyncio.timeout(20):
            person, exists, count, several = await asyncio.gather(*asked)
            assert (person.name, exists, count, len(several)) == ("Grace Lovelace", True, 2, 2)
            assert await listed == ["Grace Lovelace", "Ada Lovelace"]


# ---- fixed phases beside a record -----------------------------------------------------------------------------------


@pytest.mark.parametrize("driver", ["pymongo"])
async def test_a_fixed_phase_must_be_beside_the_recorded_one(database: Any, driver: str) -> None:
    """Looked up once, in the control collection beside V2; once the fleet is near enough, the process works."""
    operator = Operator(control_beside(database["v2"]), people().name)
    await operator.begin(Phase.V1_ONLY)
    await in_phase(operator, Phase.SHADOW)
    fixed = Repository(people(), v1=database["v1"], v2=database["v2"], phase=Phase.V1_ONLY)
    for call in (lambda: fixed.get(1), lambda: fixed.insert(ada(1))):
        with pytest.raises(PhaseError, match=r"runs in v1_only, and people is in shadow since .* \(by tests\)"):
            await call()
    assert await database["v1"].count_documents({}) == 0
    await operator.move(Phase.PREPARE)
    await fixed.insert(ada(1))


@pytest.mark.parametrize("driver", ["pymongo"])
@pytest.mark.parametrize(("recorded", "fixed"), [(Phase.V2_PRIMARY, Phase.V2_ONLY), (Phase.V2_ONLY, Phase.V2_PRIMARY)])
async def test_nothing_runs_beside_v2_only_without_a_seal(
    database: Any, recorded: Phase, fixed: Phase, driver: str
) -> None:
    """One side orders writes by V1 and the other by V2, so that each would overwrite what the other acknowledged."""
    operator = Operator(control_beside(database["v2"]), people().name)
    await operator.begin(recorded)
    process = Repository(people(), v1=database["v1"], v2=database["v2"], phase=fixed)
    for call in (lambda: process.insert(ada(1)), lambda: process.v1.get(1)):
        with pytest.raises(PhaseError, match=f"runs in {fixed}, and people is in {recorded}"):
            await call()
    assert await database["v1"].count_documents({}) == await database["v2"].count_documents({}) == 0
    await Repository(people(), v1=database["v1"], v2=database["v2"], phase=recorded).insert(ada(1))


@pytest.mark.parametrize("driver", ["pymongo"])
@pytest.mark.parametrize("tool", [Sweeper, partial(Verifier, repair=True), Follower])
async def test_a_tool_with_an_old_fixed_phase_does_not_start(database: Any, tool: Any, driver: str) -> None:
    """It would put V1's stale entities into V2, over what the fleet has written in v2_only and acknowledged."""
    operator = Operator(control_beside(database["v2"]), people().name)
    await operator.begin(Phase.V2_PRIMARY)
    async with Repository(
        people(), v1=database["v1"], v2=database["v2"], phase=control_beside(database["v2"])
    ) as fleet:
        await fleet.insert(ada(1))
        await operator.move(Phase.V2_ONLY)
        await operator.acknowledged()
        await fleet.update(1, lambda person: evolve(person, age=1))
        old = Repository(people(), v1=database["v1"], v2=database["v2"], phase=Phase.COEXIST)
        async with asyncio.timeout(20):
            with pytest.raises(PhaseError, match="runs in coexist, and people is in v2_only"):
                await tool(old).run()
        assert await fleet.get(1) == ada(1, age=1)


@pytest.mark.parametrize("driver", ["pymongo", "mock"])
async def test_a_release_without_v1_does_not_join_before_the_end(
    database: Any, operator: Operator, driver: str
) -> None:
    """It says why, and works once the migration is over."""
    finished = Migration.finished(name=people().name, v2=PersonV2)
    async with Repository(finished, v2=database["v2"], phase=Control(database["control"])) as repository:
        with pytest.raises(PhaseError):
            await repository.get(1)
        assert await operator.members() == []
        for phase in UPWARDS[1:]:
            await operator.move(phase)
        assert await repository.get(1) is None
        assert len(await operator.members()) == 1
