"""The walk through all phases, by forms alone: what each asks for is typed, and the history says who did it."""

from __future__ import annotations

from typing import Any

from lazymig import Phase, Repository, Sweeper, Verifier
from lazymig.control import parts_of
from lazymig.status.looking import control_of
from tests.people import ada, ada_v1
from tests.sweeps import thing
from tests.switches import followed
from tests.web.visitors import Host, Page, Visitor, done
from tests.whole_people import whole

UNWATCHED = {"soak_days": "0", "unwatched": "1"}


async def compare(repo: Repository[Any, Any]) -> None:
    """Fill V2 and compare both sides, as the gates demand."""
    await Sweeper(repo).run()
    assert (await Verifier(repo, min_age_s=0).run()).agrees


async def advance(visitor: Visitor, repo: Repository[Any, Any], to: Phase) -> None:
    """Make one step up by its form, with what it asks for."""
    if to in (Phase.V2_PRIMARY, Phase.V2_ONLY):
        await compare(repo)
    last = to is Phase.V2_ONLY
    typed: dict[str, Any] = {"confirm": repo.migration.name, "accept": ["outside-writes"]} if last else {}
    await done(visitor, await visitor.order("advance", why=f"to {to}", **typed))
    standing = await control_of(repo).standing(repo.migration.name)
    assert standing is not None
    assert (standing.phase, standing.last.by, standing.last.why.partition(" (")[0]) == (to, "Ada", f"to {to}")


async def acts(repo: Repository[Any, Any]) -> list[tuple[str, str, bool]]:
    """What the journal holds: by whom, what, and whether it was done; oldest first."""
    found = await parts_of(control_of(repo)).journal(repo.migration.name).find_last(100)
    return [(act.by, act.action, act.good) for act in reversed(found)]


async def step(visitor: Visitor, action: str, query: dict[str, str] | None = None, **typed: Any) -> Page:
    """Make one step of V1's end by its form."""
    page = await visitor.order(action, query, **typed)
    await done(visitor, page)
    return page


async def test_two_collections_from_v1_only_to_the_end(server_database: Any) -> None:
    """All steps up, one back and up again, and V1's end, by forms; then V1 is gone and V2's documents are reduced."""
    repo = followed(server_database)
    await server_database["v1"].insert_many([thing(id) for id in range(3)])
    visitor = Visitor(Host(repo).app)
    await done(visitor, await visitor.order("begin", phase="v1_only", why="all processes run in V1_ONLY"))
    for to in (Phase.PREPARE, Phase.SHADOW, Phase.COEXIST):
        await advance(visitor, repo, to)
    await done(visitor, await visitor.order("rollback", why="p99 has doubled"))
    for to in (Phase.COEXIST, Phase.V2_PRIMARY, Phase.V2_ONLY):
        await advance(visitor, repo, to)
    await step(visitor, "quarantine", UNWATCHED)
    await step(visitor, "restore")
    await step(visitor, "quarantine", UNWATCHED)
    await step(visitor, "archive", into="people_archive")
    await step(visitor, "drop", UNWATCHED, confirm="things")
    await step(visitor, "reduce")
    await step(visitor, "finish")
    names = await server_database.list_collection_names()
    assert sorted(names) == ["lazymig_control", "people_archive", "v2"]
    assert await server_database["people_archive"].count_documents({}) == 3
    assert (await visitor.open("retire")).words.count("Nothing is left to do.") == 1
    moves = ["begin", *["advance"] * 3, "rollback", *["advance"] * 3]
    end = ["quarantine", "restore", "quarantine", "archive", "drop", "reduce", "finish"]
    assert await acts(repo) == [("Ada", action, True) for action in (*moves, *end)]


async def test_one_document_from_v1_only_to_the_end(server_database: Any) -> None:
    """The same in one document, where V1's fields go by `reduce`, which asks for the name."""
    repo = whole(server_database)
    await server_database["people"].insert_many([ada_v1(id) for id in range(3)])
    visitor = Visitor(Host(repo).app, "people")
    page = await visitor.open("begin")
    assert "prepare" not in page.words.lower().split()
    await done(visitor, await visitor.send(page, phase="v1_only", why="all processes run in V1_ONLY"))
    for to in (Phase.SHADOW, Phase.COEXIST):
        await advance(visitor, repo, to)
    await done(visitor, await visitor.order("rollback", why="p99 has doubled"))
    for to in (Phase.COEXIST, Phase.V2_PRIMARY, Phase.V2_ONLY):
        await advance(visitor, repo, to)
    assert "There is no quarantine in this layout." in (await visitor.open("quarantine")).words
    await step(visitor, "reduce", UNWATCHED, confirm="people")
    await step(visitor, "finish")
    stored = await server_database["people"].find_one({"_id": 1})
    assert "name" not in stored
    assert await repo.get(1) == ada(1)
