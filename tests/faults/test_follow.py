"""A follower beside programs that write V1 directly, while clients, servers and followers come and go."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from random import Random
from typing import Any

import pytest
from pymongo import AsyncMongoClient
from pymongo.errors import OperationFailure

from lazymig import ConfigurationError, Follower, Phase, Repository
from lazymig.control import following
from lazymig.following import follow, leasing
from lazymig.following.feed import Batch
from lazymig.following.pursuit import Pursuit
from lazymig.loop.clock import SYSTEM_CLOCK
from lazymig.testing import ReplicaSet, Server, memory_repository
from lazymig.testing.mongod import Mongod
from lazymig.verifying.options import VerifyOptions
from tests.faults import follow_nursery
from tests.faults.conftest import connected
from tests.faults.nurseries import Nursery, nursery
from tests.faults.outside import COUNT, Writers, fill, find_served_wrongly
from tests.following import Watched, find_wrong, followed, recorded, repairing_after
from tests.sweeps import repository, thing, things
from tests.widening import WIDENING

KILLS = 10 if WIDENING.full else 3


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leases run out soon, and the server answers soon that nothing happened."""
    monkeypatch.setattr(following, "LEASE", timedelta(seconds=follow_nursery.LEASE_S))
    monkeypatch.setattr(leasing, "BEAT_S", follow_nursery.LEASE_S / 3)
    monkeypatch.setattr(follow, "_IDLE_S", 0.02)
    monkeypatch.setattr(VerifyOptions, "to_repair", repairing_after(0.1))


async def test_outside_writers(server_database: Any, seed: int) -> None:
    """Programs that write V1 directly for a while, beside clients, leave both sides equal."""
    calls = 2_500 if WIDENING.full else 200
    await fill(server_database)
    repo = repository(server_database)
    writers = Writers(server_database, repo, seed)
    async with followed(server_database, repo=repo) as watched:
        async with writers.at_work(outside=4, inside=4):
            began_s = SYSTEM_CLOCK.monotonic()
            await watched.until(lambda _: min(writers.done.values(), default=0) >= calls)
        report = await watched.settled()
    seconds = SYSTEM_CLOCK.monotonic() - began_s
    print(f"{dict(writers.done)} calls in {seconds:.1f} s: {report}")
    assert await find_wrong(server_database) == {}
    assert await find_served_wrongly(server_database, repo) == {}
    assert set(report.rogue) == {"insert", "update", "replace", "delete"}
    assert report.dead == 0
    counted = (await recorded(server_database)).count_since(SYSTEM_CLOCK.now() - timedelta(hours=2))
    assert counted == report.rogue
    assert report.staleness_p50_s is not None
    assert report.staleness_p99_s is not None
    # No change waited for longer than all took, but for what the histogram rounds.
    assert 0 < report.staleness_p50_s <= report.staleness_p99_s < 1.1 * seconds


async def _kill(children: Nursery, writers: Writers, calls: int) -> None:
    child = await children.sweep()
    await writers.after(calls)
    with suppress(ProcessLookupError):
        os.kill(child, signal.SIGKILL)
    assert await children.end()


async def test_kill_at_random_moments(lazymig_server: Any, server_database: Any, seed: int) -> None:
    """Killed at random moments under load, followers lose nothing: the next one goes on from what was stored."""
    await fill(server_database)
    repo, rng = repository(server_database), Random(seed)
    writers = Writers(server_database, repo, seed)
    async with followed(server_database, repo=repo):
        pass  # it took the position from which the others follow
    program = follow_nursery.__file__
    async with nursery(lazymig_server.uri, server_database, program) as children, writers.at_work():
        for _ in range(KILLS):
            await _kill(children, writers, rng.randrange(20, 400 if WIDENING.full else 120))
    async with followed(server_database, repo=repo) as watched:
        await watched.settled()
    assert (await recorded(server_database)).catch_ups == 0
    assert await find_wrong(server_database) == {}
    assert await find_served_wrongly(server_database, repo) == {}


async def _crash_once(database: Any) -> dict[Any, str]:
    """Crash a follower after a batch is read and before it is healed, and let another one follow."""
    repo = repository(database)
    await database["v1"].insert_one(thing(1))
    await repo.get(1)
    async with followed(database, repo=repo) as first:

        async def crash(*_: Any) -> None:
            raise SystemError("killed")

        first.handler._healer._heal = crash
        await database["v1"].update_one({"_id": 1}, {"$set": {"n": 7}})
        with suppress(SystemError):
            await first.task
    async with followed(database, repo=repo) as second:
        await second.settled()
    return await find_wrong(database)


async def test_crash_before_the_heal(server_database: Any) -> None:
    """A position is stored after its heals: who crashes between loses nothing."""
    assert await _crash_once(server_database) == {}


async def test_position_before_heals_is_found(server_database: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A follower that stores its position before it heals is found by the test above."""
    step = Pursuit._take_step

    async def early(self: Pursuit, batch: Batch) -> None:
        if batch.token is not None:
            await self._following.save(self._claim, batch.token, following.Handled())
        await step(self, batch)

    monkeypatch.setattr(Pursuit, "_take_step", early)
    assert await _crash_once(server_database) != {}


async def test_step_downs(replica_set: ReplicaSet, seed: int) -> None:
    """Where the primary steps down under load, the follower goes on by itself, and nothing is lost."""
    async with connected(replica_set.uri) as database:
        await fill(database)
        repo = repository(database)
        writers = Writers(database, repo, seed)
        async with followed(database, repo=repo) as watched, writers.at_work():
            await writers.after(100)
            await asyncio.to_thread(replica_set.step_down)
            await writers.after(100)
        async with followed(database, repo=repo) as watched:
            await watched.settled()
        assert await find_wrong(database) == {}
        assert await find_served_wrongly(database, repo) == {}


async def test_restart(mortal_server: Server, seed: int) -> None:
    """A server that is killed and comes back is waited for."""
    async with connected(mortal_server.uri) as database:
        await fill(database)
        repo = repository(database)
        writers = Writers(database, repo, seed)
        async with followed(database, repo=repo) as watched:
            async with writers.at_work():
                await writers.after(50)
                mortal_server.kill()
                await asyncio.to_thread(mortal_server.restart)
                await writers.after(50)
            report = await watched.settled()
        assert report.catch_ups == 0
        assert await find_wrong(database) == {}
        assert await find_served_wrongly(database, repo) == {}


@asynccontextmanager
async def _missed(database: Any) -> Any:
    """A change that no follower sees, because it happens while none runs and the position is lost."""
    repo = repository(database)
    await database["v1"].insert_many([thing(1), thing(2)])
    await repo.get_many([1, 2])
    async with followed(database, repo=repo) as watched:
        await watched.settled()
    await database["v1"].update_one({"_id": 1}, {"$set": {"n": 7}})
    await database["v1"].delete_one({"_id": 2})
    yield repo
    assert await find_wrong(database) == {}
    assert (await repo.get(1)).count == 7
    assert await repo.get(2) is None


class _Forgetful(Mongod):
    """A server whose oplog holds a megabyte."""

    def _command(self) -> list[str]:
        command = super()._command()
        command[command.index("--oplogSize") + 1] = "1"
        return [*command, "--syncdelay", "1"]  # it forgets nothing that is newer than its last checkpoint


async def test_lost_position(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oplog moves past the position while no follower runs: both sides are verified and repaired."""
    monkeypatch.setattr("lazymig.testing.server.Mongod", _Forgetful)
    with Server() as server:
        async with connected(server.uri) as database, _missed(database) as repo:
            token = (await database["lazymig_control"].find_one({"_id": "things/follower"}))["token"]
            while await _has(database, token):
                await database["junk"].insert_many([{"x": "y" * 10_000} for _ in range(100)])
            async with followed(database, repo=repo) as watched:
                report = await watched.until(lambda report: report.catch_ups == 1 and not report.catching_up)
                assert report.rogue == {}
            found = await recorded(database)
            assert (found.catch_ups, found.catching_up) == (1, None)


async def _has(database: Any, token: Any) -> bool:
    """Whether the server has what came after this position."""
    try:
        async with await database["v1"].watch(start_after=token, max_await_time_ms=10) as stream:
            await stream.try_next()
    except OperationFailure as error:
        return error.code != 286
    return True


async def test_unusable_position(server_database: Any) -> None:
    """A stored position that is none is no reason to give up."""
    async with _missed(server_database) as repo:
        rows = server_database["lazymig_control"]
        await rows.update_one({"_id": "things/follower"}, {"$set": {"token": {"_data": "none"}}})
        async with followed(server_database, repo=repo) as watched:
            await watched.until(lambda report: report.catch_ups == 1 and not report.catching_up)


async def test_position_lost_while_following(lazymig_server: Any, server_database: Any) -> None:
    """The server says in the middle of a stream that the changes are gone: the same answer."""
    async with _missed(server_database) as repo:
        namespace = server_database["v1"].full_name
        lost = {"failCommands": ["getMore"], "errorCode": 286, "namespace": namespace}
        with lazymig_server.failpoint(lost, times=1):
            async with followed(server_database, repo=repo) as watched:
                await watched.until(lambda report: report.catch_ups == 1 and not report.catching_up)


async def test_v1_dropped(server_database: Any) -> None:
    """The stream of a collection that is dropped ends: both sides are verified, and the new one is followed."""
    repo = repository(server_database)
    await server_database["v1"].insert_many([thing(1), thing(2)])
    await repo.get_many([1, 2])
    async with followed(server_database, repo=repo) as watched:
        await watched.settled()
        # In one step: while V1 is empty, nothing is repaired, since V2 may hold the last copy.
        await server_database["restored"].insert_one(thing(1, 5))
        await server_database["restored"].rename("v1", dropTarget=True)
        await watched.until(lambda report: report.catch_ups == 1 and not report.catching_up)
        await server_database["v1"].update_one({"_id": 1}, {"$set": {"n": 6}})
        await watched.settled()
    assert await find_wrong(server_database) == {}
    assert (await repo.get(1)).count == 6


async def test_verification_stays_due(server_database: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A follower that ends before its verification is finished leaves it to the next one."""
    repo = repository(server_database)
    await server_database["v1"].insert_one(thing(1))
    await repo.get(1)
    await server_database["v1"].update_one({"_id": 1}, {"$set": {"n": 7}})
    with monkeypatch.context() as patched:
        patched.setattr(VerifyOptions, "to_repair", repairing_after(3600))
        async with followed(server_database, repo=repo, catch_up=True) as first:
            await first.until(lambda report: report.catching_up)
    assert (await recorded(server_database)).catching_up
    assert (await repo.get(1)).count == 1
    async with followed(server_database, repo=repo) as second:
        await second.settled()
    assert (await repo.get(1)).count == 7
    assert (await recorded(server_database)).catching_up is None


async def test_overloaded_server(lazymig_server: Any, server_database: Any) -> None:
    """A server that sheds load is asked again later; nothing is lost, and nobody needs to be called."""
    repo = repository(server_database)
    await server_database["v1"].insert_one(thing(1))
    await repo.get(1)
    shed = {
        "failCommands": ["findAndModify"], "namespace": server_database["v2"].full_name, "errorCode": 462,
        "errorLabels": ["SystemOverloadedError", "RetryableError"],
    }  # fmt: skip
    async with followed(server_database, repo=repo) as watched:
        with lazymig_server.failpoint(shed, times=3):
            await server_database["v1"].update_one({"_id": 1}, {"$set": {"n": 7}})
            report = await watched.settled()
    assert (report.rogue, report.healed, report.dead) == ({"update": 1}, 1, 0)
    assert (await repo.get(1)).count == 7


async def test_two_clusters(mortal_server: Server, server_database: Any, seed: int) -> None:
    """V1 and V2 may be in two clusters: own writes are not counted, and others are healed."""
    async with connected(mortal_server.uri) as other:
        repo = Repository(things(), v1=other["v1"], v2=server_database["v2"], phase=Phase.COEXIST)
        await other["v1"].insert_many([thing(id) for id in range(COUNT)])
        writers = Writers(other, repo, seed)
        async with followed(server_database, repo=repo) as watched:
            async with writers.at_work(outside=0):
                await writers.after(60)
            assert (await watched.settled()).rogue == {}
            async with writers.at_work():
                await writers.after(60)
            report = await watched.settled()
        assert report.rogue
        assert await find_served_wrongly(other, repo) == {}


async def test_two_followers(lazymig_server: Any, server_database: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """One follows, the other waits; when the first ends, the second goes on from its position."""
    # A busy machine may hold up the first for longer than a short lease; the second would rightly take over.
    monkeypatch.setattr(following, "LEASE", timedelta(hours=1))
    repo = repository(server_database)
    await server_database["v1"].insert_one(thing(1))
    await repo.get(1)
    async with followed(server_database, repo=repo) as first:
        second = Watched(server_database, repo=repo, catch_up=False)
        namespace = server_database["lazymig_control"].full_name
        stepped_down = {"failCommands": ["findAndModify"], "errorCode": 10107, "namespace": namespace}
        with lazymig_server.failpoint(stepped_down, times=4):
            await second.until(lambda report: report.waiting)
            reports = second.reports
            await second.until(lambda _: second.reports > reports + 3)  # it goes on asking
        await server_database["v1"].update_one({"_id": 1}, {"$set": {"n": 7}})
        await first.settled()
        assert (await first.end()).rogue == {"update": 1}
        await second.until(lambda report: not report.waiting)
        await server_database["v1"].update_one({"_id": 1}, {"$set": {"n": 8}})
        await second.settled()
        assert (await second.end()).rogue == {"update": 1}
    assert (await recorded(server_database)).count_since(SYSTEM_CLOCK.now()) == {"update": 2}
    assert (await repo.get(1)).count == 8


async def test_taken_over(server_database: Any) -> None:
    """A follower that was silent for longer than its lease stores nothing once another one follows."""
    repo = repository(server_database)
    rows = server_database["lazymig_control"]
    async with followed(server_database, repo=repo) as first:
        await first.settled()
        # As if it had been paused: its lease has run out, and another process has claimed it.
        theirs = {"fence": 99, "until": SYSTEM_CLOCK.now() + timedelta(hours=1), "token": {"_data": "theirs"}}
        await rows.update_one({"_id": "things/follower"}, {"$set": theirs})
        await server_database["v1"].insert_one(thing(5))
        await first.until(lambda report: report.waiting)
        row = await rows.find_one({"_id": "things/follower"})
        assert (row["fence"], row["token"]) == (99, {"_data": "theirs"})
        assert "rogue" not in row


@pytest.fixture(scope="module")
def standalone() -> Iterator[Server]:
    """A server without a replica set."""
    with Server(replica_set=False) as server:
        yield server


async def test_standalone_is_refused(standalone: Server) -> None:
    """A standalone server reports no changes: the error says what to do, and nothing is written."""
    async with AsyncMongoClient(standalone.uri) as client:
        repo = repository(client["alone"])
        with pytest.raises(ConfigurationError, match=r"rs\.initiate.*checked=True"):
            await Follower(repo).run()
        assert "v2" not in await client["alone"].list_collection_names()


def test_memory_is_refused() -> None:
    """So do collections in memory."""
    with pytest.raises(ConfigurationError, match="replica set"):
        Follower(memory_repository(things()))
