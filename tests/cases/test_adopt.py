"""V2's documents that lazymig did not store: each its own reader's error, and taken over by `sweep --adopt`."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from attrs import define, evolve

from lazymig import ConfigurationError, ConversionError, LazymigError, Repository
from lazymig.cli.status import looked_up
from lazymig.errors import ForeignDocument
from lazymig.repository import calls_of
from tests.acceptance.test_cli import APP
from tests.commands import SCRIPT
from tests.sweeps import ThingV1, ThingV2, letters, moved, repository, stored, sweeper, thing

#: What somebody may have put where lazymig keeps its own.
NOT_OURS: list[Any] = [
    {},
    {"_lazymig": None},
    {"_lazymig": {}},
    {"_lazymig": "rev"},
    {"_lazymig": {"rev": "1", "intent": 1}},
    {"_lazymig": {"rev": 1}},
    {"_lazymig": {"rev": 1.5, "intent": 2}},
    {"_lazymig": {"intent": 3, "at": None}},
]
#: How many writes of each writer are acknowledged at least.
ENOUGH = 15
CALLS = {
    "get": lambda door: door.get(1),
    "exists": lambda door: door.exists(1),
    "update": lambda door: door.update(1, lambda thing: thing),
    "delete": lambda door: door.delete(1),
}


def foreign(id: Any, meta: dict[str, Any] | None = None) -> dict[str, Any]:
    """Somebody's own conversion of a thing, outdated."""
    return {"_id": id, "count": 99, "theirs": "x", **(meta or {})}


async def collected(listing: Any) -> list[Any]:
    """All that a listing gives."""
    return [entity async for entity in listing]


@pytest.mark.parametrize("meta", NOT_OURS, ids=str)
@pytest.mark.parametrize("call", CALLS)
async def test_case_19_a_foreign_document_is_an_error_that_says_so(
    server_database: Any, call: str, meta: dict[str, Any]
) -> None:
    """Each call of V2's door on it names the id and the remedy, and V1 is not touched."""
    await server_database["v1"].insert_one(thing(1))
    await server_database["v2"].insert_one(foreign(1, meta))
    with pytest.raises(ForeignDocument, match=r"id 1 was not stored by lazymig.*sweep --adopt") as caught:
        await CALLS[call](repository(server_database))
    assert isinstance(caught.value, ConfigurationError)
    assert isinstance(caught.value, ConversionError)
    assert await stored(server_database["v1"]) == {"1": thing(1)}


async def test_case_19_its_neighbours_are_served(database: Any) -> None:
    """In one turn, in `get_many` and in a listing, only its own readers get the error."""
    await database["v1"].insert_many([thing(id) for id in range(6)])
    repo = repository(database)
    await repo.get_many(range(4))
    await database["v2"].replace_one({"_id": 2}, foreign(2))
    answers = await asyncio.gather(*(repo.get(id) for id in (*range(6), 2)), return_exceptions=True)
    assert [type(answer).__name__ for answer in answers] == ["ThingV2"] * 2 + ["ForeignDocument"] + ["ThingV2"] * 3 + [
        "ForeignDocument"
    ]
    with pytest.raises(ExceptionGroup) as caught:
        await repo.get_many(range(6))
    assert [error.id for error in caught.value.exceptions] == [2]
    assert sorted(await repo.get_many([0, 1, 3, 4, 5])) == [0, 1, 3, 4, 5]
    listing = repo.list()
    with pytest.raises(ForeignDocument):
        await collected(listing)
    assert await repo.v1.get(2) is not None


async def test_case_19_a_back_fill_is_said_at_first_use(server_database: Any) -> None:
    """Where most of V2 is not lazymig's, the first call of either door says so, for any id."""
    await server_database["v1"].insert_many([thing(id) for id in range(20)])
    await server_database["v2"].insert_many([foreign(id) for id in range(5)])
    for call in (lambda door: door.get(19), lambda door: door.v1.get(19), lambda door: door.count()):
        with pytest.raises(ConfigurationError, match=r"v2: .* holds documents without _lazymig.*--adopt"):
            await call(repository(server_database))


@pytest.mark.parametrize("dry_run", [False, True])
async def test_case_19_a_stray_one_stops_no_sweep(server_database: Any, dry_run: bool) -> None:
    """The others are moved, the report asks for a person and says what to do, and the stray one stays as it is."""
    await server_database["v1"].insert_many([thing(id) for id in range(6)])
    await server_database["v2"].insert_many([moved(0), moved(1), foreign(99)])
    report = await sweeper(server_database, dry_run=dry_run).run()
    assert (report.finished, report.migrated, report.foreign, report.needs_person) == (True, 4, 1, True)
    assert "--adopt" in report.warnings[0]
    assert (await stored(server_database["v2"]))["99"] == foreign(99)


@pytest.mark.parametrize("dry_run", [False, True])
async def test_case_19_a_sweep_over_a_back_fill_is_refused(server_database: Any, dry_run: bool) -> None:
    """It would count them as moved; nothing is written, and the status says what to do."""
    await server_database["v1"].insert_many([thing(id) for id in range(6)])
    await server_database["v2"].insert_many([moved(0), *(foreign(id) for id in (2, 3, 4))])
    before = await stored(server_database["v2"])
    with pytest.raises(ConfigurationError, match="--adopt"):
        await sweeper(server_database, dry_run=dry_run).run()
    assert await stored(server_database["v2"]) == before
    assert await server_database.list_collection_names(filter={"name": "lazymig_control"}) == []
    (problem,) = (await looked_up(repository(server_database), exact=False)).foreign
    assert "--adopt" in problem


async def test_case_19_adopting_replaces_them_by_what_v1_holds(database: Any) -> None:
    """Every kind of foreign document becomes V1's conversion, nothing of theirs remains; what is lazymig's stays."""
    count = len(NOT_OURS)
    await database["v1"].insert_many([thing(id, id, _lazymig_rev=id) for id in range(count + 5)])
    await database["v2"].insert_many([foreign(id, meta) for id, meta in enumerate(NOT_OURS)])
    await database["v2"].insert_one(moved(count, 77, count, by="write"))
    report = await sweeper(database, adopt=True).run()
    assert (report.finished, report.adopted, report.foreign, report.migrated) == (True, count, 0, 4)
    expected = {repr(id): moved(id, id, id) for id in range(count + 5)}
    assert await stored(database["v2"]) == expected | {repr(count): moved(count, 77, count, by="write")}
    assert await repository(database).get(1) is not None
    assert (await sweeper(database).run()).migrated == 0


async def test_case_19_those_that_v1_lacks_are_left_and_counted(server_database: Any) -> None:
    """They may be all that is left of something: a person decides, and exit code 3 asks for one."""
    await server_database["v1"].insert_many([thing(1), thing("a"), thing(3, -1)])
    lone = [foreign(id) for id in (2, "b", 2.5)]
    await server_database["v2"].insert_many([*lone, foreign(1), foreign("a"), foreign(3)])
    report = await sweeper(server_database, adopt=True).run()
    assert (report.adopted, report.foreign, report.dead, report.needs_person) == (2, 3, 1, True)
    left = await stored(server_database["v2"])
    assert [left[repr(one["_id"])] for one in lone] == lone
    assert left["3"] == foreign(3)
    assert list(await letters(server_database)) == ["3"]


async def test_case_19_a_rehearsal_adopts_nothing(server_database: Any) -> None:
    """It counts what would be adopted and what would be left."""
    await server_database["v1"].insert_many([thing(id) for id in range(4)])
    await server_database["v2"].insert_many([foreign(id) for id in range(1, 6)])
    before = await stored(server_database["v2"])
    report = await sweeper(server_database, adopt=True, dry_run=True).run()
    assert (report.adopted, report.foreign) == (3, 2)
    assert await stored(server_database["v2"]) == before


async def test_case_19_adopting_many_pages(server_database: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Page by page, with V2's own documents between them."""
    monkeypatch.setattr("lazymig.sweeping.adopting._PAGE", 7)
    await server_database["v1"].insert_many([thing(id, id) for id in range(60)])
    await server_database["v2"].insert_many([moved(id, id) if id % 3 == 0 else foreign(id) for id in range(60)])
    report = await sweeper(server_database, adopt=True).run()
    assert (report.adopted, report.present, report.migrated) == (40, 60, 0)
    assert await stored(server_database["v2"]) == {repr(id): moved(id, id) for id in range(60)}


@define
class Writer:
    """Adds one to its entity by one of the doors, again and again."""

    repo: Repository[ThingV1, ThingV2]
    id: int
    done: int = 0
    refused: int = 0

    async def add_one(self) -> None:
        """Make one write."""
        if self.id % 4 < 2:
            await self.repo.update(self.id, lambda one: evolve(one, count=one.count + 1))
        else:
            await self.repo.v1.update(self.id, lambda one: evolve(one, n=one.n + 1))
        self.done += 1

    async def write_while(self, wanted: Callable[[], bool]) -> None:
        """Write until enough was acknowledged, and longer if wanted. Nothing is refused after the first that was."""
        while self.done < ENOUGH or wanted():
            try:
                await self.add_one()
            except ForeignDocument:
                self.refused += 1
                assert not self.done
                await asyncio.sleep(0)


async def test_case_19_writers_beside_an_adoption(server_database: Any) -> None:
    """Writers of both doors are refused until their entity is adopted, not afterwards; what was acknowledged, stays."""
    await server_database["v1"].insert_many([thing(id, 0) for id in range(40)])
    await server_database["v2"].insert_many([foreign(id) for id in range(0, 40, 2)])
    await server_database["v2"].insert_many([moved(id, 0) for id in range(1, 40, 2)])
    repo = repository(server_database)
    calls_of(repo).first_use.due = False  # past the first look: others put their documents there afterwards
    writers = [Writer(repo, id) for id in range(40)]
    for writer in writers[::2]:
        with pytest.raises(ForeignDocument):
            await writer.add_one()
    adopting = True

    async def adopt() -> None:
        nonlocal adopting
        report = await sweeper(server_database, adopt=True).run()
        assert (report.adopted, report.foreign) == (20, 0)
        adopting = False

    async with asyncio.timeout(300), asyncio.TaskGroup() as group:
        for writer in writers:
            group.create_task(writer.write_while(lambda: adopting))
        group.create_task(adopt())
    assert not any(writer.refused for writer in writers[1::2])
    done = {writer.id: writer.done for writer in writers}
    assert {row["_id"]: row["n"] async for row in server_database["v1"].find()} == done
    assert {entity.id: entity.count async for entity in repo.list()} == done


def test_case_19_the_command_line(lazymig_server: Any, server_database: Any, tmp_path: Path) -> None:
    """`sweep` and `status` end with 3 and the remedy, `sweep --adopt` with 0 and the count."""
    from pymongo import MongoClient

    (tmp_path / "shop.py").write_text(APP)
    name = server_database.name
    environment = {**os.environ, "DATABASE": name, "URI": lazymig_server.uri, "LAZYMIG_APP": "shop:plain"}

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [SCRIPT, *arguments], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60
        )

    with MongoClient[dict[str, Any]](lazymig_server.uri) as client:
        client[name]["people"].insert_many({"_id": id, "name": f"Ada Nr{id}"} for id in range(5))
        client[name]["people_v2"].insert_one({"_id": 1, "first": "theirs"})
        left = run("sweep")
        assert left.returncode == 3
        assert "sweep --adopt" in left.stdout
        assert (shown := run("status")).returncode == 3
        assert "sweep --adopt" in shown.stdout
        adopted = run("sweep", "--adopt")
        assert (adopted.returncode, "adopted                        1" in adopted.stdout) == (0, True)
        assert client[name]["people_v2"].count_documents({"_lazymig.rev": 0}) == 5
    assert issubclass(ForeignDocument, LazymigError)
