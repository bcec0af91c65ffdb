"""One sweep by several processes: workers of this machine, and a Dask cluster."""

from __future__ import annotations

import asyncio
import importlib
import os
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pymongo
import pytest

from lazymig.control import parts_of
from lazymig.fleet import workers
from lazymig.fleet.dask import sweep_on_dask
from lazymig.fleet.jobs import SWEEP
from lazymig.fleet.workers import WorkerFailed, Workers
from lazymig.passes import partitions
from lazymig.repository import calls_of
from lazymig.status.looking import control_of
from lazymig.stores.clients import clients_of
from tests.acceptance.test_cli_steering import running_in, wait_until
from tests.apps import CLASSES

_COUNT = 16_000
_MODULE = (
    CLASSES
    + """
MIGRATION = lazymig.Migration(
    name="people",
    v1=Old,
    v2=New,
    upgrade=lambda old: New(old.id, *old.name.split(" ", 1)),
    downgrade=lambda new: Old(new.id, f"{new.first} {new.last}"),
)


def make(uri, database):
    db = AsyncMongoClient(uri)[database]
    return lazymig.Repository(MIGRATION, v1=db["v1"], v2=db["v2"], phase=lazymig.Phase.COEXIST)


def fail():
    raise OSError("no such place")


def hang():
    import time

    time.sleep(60)


def die():
    import os
    import signal

    os.kill(os.getpid(), signal.SIGKILL)
"""
)


@pytest.fixture
def people(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A module that worker processes can import."""
    name = f"people_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{name}.py").write_text(_MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    return importlib.import_module(name)


@pytest.fixture
def uri(lazymig_server: Any) -> str:
    return str(lazymig_server.uri)


@pytest.fixture
async def here(people: Any, uri: str, database: Any) -> AsyncIterator[Any]:
    """What this process, the first of the workers, works with."""
    async with people.make(uri, database.name) as repository:
        yield repository
    await _close(repository)


async def _close(repository: Any) -> None:
    for client in clients_of(*calls_of(repository).stores):
        await client.close()


@pytest.fixture
def database(uri: str) -> Iterator[Any]:
    """A database with people in V1, two of whom do not convert."""
    with pymongo.MongoClient[dict[str, Any]](uri) as client:
        found = client[f"fleet_{os.getpid()}"]
        client.drop_database(found.name)
        found["v1"].insert_many([{"_id": number, "name": f"First{number} Last"} for number in range(_COUNT)])
        found["v1"].insert_many([{"_id": _COUNT + number, "name": number} for number in range(2)])
        yield found
        client.drop_database(found.name)


def _all_moved(database: Any) -> None:
    moved = {row["_id"]: row["first"] for row in database["v2"].find()}
    assert moved == {number: f"First{number}" for number in range(_COUNT)}
    dead = [row["id"] for row in database["lazymig_control"].find({"kind": "dead"})]
    assert sorted(dead) == [_COUNT, _COUNT + 1]


async def _run_together(some: Workers[Any, Any], here: Any, database: Any, processes: int) -> Any:
    """Run with all of them there before any moves something: the first would be through before the others start."""
    orders = parts_of(control_of(here)).orders(here.migration.name, "sweep")
    await orders.pause("me", "")
    running = asyncio.create_task(some.run())
    await asyncio.to_thread(wait_until, lambda: len(running_in(database)) == processes)
    await orders.resume("me")
    return await running


async def test_workers_share_one_sweep(people: Any, uri: str, database: Any, here: Any) -> None:
    """Two processes move everything once, and their reports add up."""
    scanned: list[int] = []
    make, options = partial(people.make, uri, database.name), {"batch_size": 500, "rate_limit": 3000}
    both = Workers(SWEEP, here, make, 2, options, lambda progress: scanned.append(progress.scanned))
    report = await _run_together(both, here, database, 2)
    _all_moved(database)
    assert (report.scanned, report.migrated, report.dead, report.finished) == (_COUNT + 2, _COUNT, 2, True)
    assert report.dead_letters == 2
    assert max(scanned) <= _COUNT + 2
    runs = list(database["lazymig_control"].find({"kind": "run"}))
    assert len(runs) == 2
    assert all(run["counts"].get("migrated", 0) < _COUNT for run in runs)


async def test_this_process_does_not_wait_for_the_others(people: Any, uri: str, database: Any, here: Any) -> None:
    """It moves what it can while they start: a small collection it moves alone, and then they end."""
    report = await Workers(SWEEP, here, people.hang, 3, {"batch_size": 500}).run()
    _all_moved(database)
    assert (report.migrated, report.finished) == (_COUNT, True)
    assert database["lazymig_control"].count_documents({"kind": "run"}) == 1


async def test_listening_to_many_processes_holds_up_nothing_here(people: Any, database: Any, here: Any) -> None:
    """More processes than the loop has threads leave those to this process, which looks up the server's address."""
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(2))
    report = await Workers(SWEEP, here, people.hang, 4, {"batch_size": 500}).run()
    _all_moved(database)
    assert (report.migrated, report.finished) == (_COUNT, True)


@pytest.mark.parametrize(("partition_size", "processes"), [(8_001, 2), (_COUNT * 2, 1)])
async def test_auto_begins_no_more_processes_than_partitions(
    people: Any, uri: str, database: Any, here: Any, monkeypatch: pytest.MonkeyPatch, partition_size: int,
    processes: int,
) -> None:  # fmt: skip
    """However many processors there are, each process has a partition."""
    monkeypatch.setattr(workers, "count_processors", lambda: 64.0)
    # A small collection is cut finely, so that several processes can share it.
    monkeypatch.setattr(partitions, "_WORTH_SHARING", _COUNT * 2)
    options = {"partition_size": partition_size, "batch_size": 500}
    some = Workers(SWEEP, here, partial(people.make, uri, database.name), "auto", options)
    report = await _run_together(some, here, database, processes)
    _all_moved(database)
    assert (report.scanned, report.finished) == (_COUNT + 2, True)
    assert database["lazymig_control"].count_documents({"kind": "run"}) == processes


async def test_a_worker_that_cannot_start_is_reported(people: Any, database: Any, here: Any) -> None:
    """Its failure is raised in words, at once, and not taken for an end."""
    with pytest.raises(WorkerFailed, match="OSError"):
        await Workers(SWEEP, here, people.fail, 2, {"batch_size": 100, "rate_limit": 200}).run()
    assert database["v2"].count_documents({}) < _COUNT


async def test_a_failure_of_this_process_is_reported(people: Any, uri: str, database: Any, here: Any) -> None:
    """It ends the others, and is raised in words, as theirs are."""
    make = partial(people.make, uri, database.name)
    unusable = people.make(uri, database.name)
    await _close(unusable)
    with pytest.raises(WorkerFailed, match="InvalidOperation; run the sweep without workers"):
        await Workers(SWEEP, unusable, make, 2, {"batch_size": 100, "rate_limit": 200}).run()
    assert database["v2"].count_documents({}) < _COUNT


async def test_the_part_of_a_worker_that_dies_is_done_by_others(people: Any, database: Any, here: Any) -> None:
    """What dies without a word holds nobody up."""
    report = await Workers(SWEEP, here, people.die, 2, {}).run()
    _all_moved(database)
    assert report.finished


async def test_stopped_workers_save_their_checkpoints(people: Any, uri: str, database: Any, here: Any) -> None:
    """A stop ends all workers early without an error, and the next sweep goes on from there."""
    make = partial(people.make, uri, database.name)
    workers: Workers

    def stop_soon(progress: Any) -> None:
        if progress.done:
            workers.stop()

    workers = Workers(SWEEP, here, make, 2, {"batch_size": 200, "rate_limit": 4000}, stop_soon)
    first = await workers.run()
    assert not first.finished
    second = await Workers(SWEEP, here, make, 2, {}).run()
    assert second.finished
    assert second.scanned < _COUNT + 2
    _all_moved(database)


async def test_a_dask_cluster_shares_one_sweep(people: Any, uri: str, database: Any) -> None:
    """Two Dask processes move everything once."""
    distributed = (
        pytest.importorskip("distributed") if "CI" not in os.environ else importlib.import_module("distributed")
    )
    async with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, asynchronous=True
    ) as cluster:
        report = await sweep_on_dask(cluster.scheduler_address, partial(people.make, uri, database.name), {})
    _all_moved(database)
    assert (report.scanned, report.migrated, report.dead) == (_COUNT + 2, _COUNT, 2)
    assert report.finished
