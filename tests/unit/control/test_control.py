"""The control collection as a whole, on every driver: several migrations, any client, the history of runs."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

from lazymig import Control, RunRecord
from lazymig.control import parts_of
from lazymig.stores.records import DeadLetter, Partition
from tests.people import TestClock


async def test_migrations_are_apart(control: Control) -> None:
    """Two migrations in one control collection see nothing of each other."""
    mine, others = parts_of(control).passes("m", "sweep"), parts_of(control).passes("other", "sweep")
    assert await mine.claim_planning("planner") == 1
    assert await mine.open_pass(1, [Partition("int", None, None)])
    await parts_of(control).letters.record([letter(1)])
    assert await others.current() is None
    assert await others.acquire(1, "a", (0, 1)) is None
    assert await control.dead_count("other") == 0
    assert await others.claim_planning("a") == 1


async def test_history(control: Control, clock: TestClock) -> None:
    """Runs are kept and come newest first, as many as asked for."""
    runs = []
    for number in range(5):
        started = clock.time
        clock.time += timedelta(minutes=1)
        runs.append(RunRecord("m", started, clock.time, number % 2 == 0, {"migrated": number}))
        await parts_of(control).runs.record(runs[-1])
    assert await control.history("m", 3) == runs[:1:-1]
    assert await control.history("m") == runs[::-1]
    assert await control.history("other") == []


async def test_runs_of_another_kind_are_apart(control: Control, clock: TestClock) -> None:
    """The history of one kind of pass holds none of another's; what names no kind is a sweep, as it always was."""
    swept, verified = (RunRecord("m", clock.time, clock.time, True, {"scanned": n}) for n in (1, 2))
    await parts_of(control).runs.record(swept)
    await parts_of(control).runs.record(verified, kind="verify")
    assert await control.history("m") == await control.history("m", kind="sweep") == [swept]
    assert await control.history("m", kind="verify") == [verified]


async def test_times_are_alike_for_every_client(server_clients: Any, server_database: Any, clock: TestClock) -> None:
    """A client that returns aware times, or native UUIDs, reads the same records as any other."""
    options = server_database.codec_options.with_options(tz_aware=True, uuid_representation=4)
    aware = server_database.client.get_database(server_database.name, codec_options=options)
    control = Control(aware["control"], clock)
    await parts_of(control).letters.record([letter(UUID(int=1))])
    await parts_of(control).runs.record(RunRecord("m", clock.time, clock.time, True))
    plain = Control(server_database["control"], clock)
    assert await control.dead_letter("m", UUID(int=1)) == await plain.dead_letter("m", UUID(int=1))
    assert (await control.dead_letter("m", UUID(int=1))).first_at == clock.time
    assert await control.history("m") == await plain.history("m") == [RunRecord("m", clock.time, clock.time, True)]


async def test_the_index(control: Control) -> None:
    """Rows are found by an index, which may be asked for any number of times."""
    await parts_of(control).ensure_indexes()
    await parts_of(control).ensure_indexes()
    assert "lazymig_kind" in await control.collection.index_information()


def letter(id: Any) -> DeadLetter:
    """A failure of the migration `m`."""
    return DeadLetter("m", id, 0, "upgrade", "ValueError", "the document does not convert", "name")
