"""V1's end by forms: what each step asks for and refuses, in both layouts and for parts of documents."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from lazymig import Phase, Repository
from lazymig.control import parts_of
from lazymig.status.looking import control_of
from tests.people import ada, ada_v1, people
from tests.retiring import filled, names, record, repository
from tests.web.visitors import Host, Visitor, done

UNWATCHED = {"soak_days": "0", "unwatched": "1"}


@pytest.fixture
async def visitor(server_database: Any) -> Visitor:
    """A person with a browser, and a migration in `v2_only` whose V1 is where it was."""
    await filled(server_database)
    return Visitor(Host(repository(server_database)).app, "people")


async def outcomes(repo: Repository[Any, Any]) -> list[tuple[str, str, bool]]:
    """What the journal holds: the action, what it was about, and whether it was done; oldest first."""
    found = await parts_of(control_of(repo)).journal("people").find_last(100)
    return [(act.action, act.what, act.good) for act in reversed(found)]


async def test_conditions_block_until_other_demands_are_looked_at(server_database: Any, visitor: Visitor) -> None:
    """V1 must have been quiet for a week and watched; other demands are looked at first, and the order is for them."""
    page = await visitor.open("quarantine")
    assert (page.action, "Not met: quiet V1." in page.words) == ("", True)
    filled_in = {**(await visitor.open("pause")).fields, "seen": ["serving  "]}
    sent = await visitor.post(visitor.path("quarantine"), filled_in)
    assert (sent.status, "Not met: quiet V1." in sent.words) == (409, True)
    assert "v1" in await names(server_database)
    page = await visitor.open("quarantine", **UNWATCHED)
    assert (page.fields["soak_days"], page.fields["unwatched"]) == (["0"], ["1"])
    await done(visitor, await visitor.send(page))
    assert "v1" not in await names(server_database)
    page = await visitor.open("drop", **UNWATCHED)
    stricter = await visitor.send(page, soak_days="1", confirm="people")
    assert (stricter.status, len(await names(server_database))) == (409, 2)
    assert await outcomes(repository(server_database)) == [
        ("quarantine", "Put V1 in quarantine: people", False),
        ("quarantine", "after 0 days of quiet, and nothing need show stray writes", True),
        ("drop", "Drop V1: people", False),
    ]


@pytest.mark.parametrize("days", ["x", "-1", "nan", "inf"])
async def test_days_are_a_number(server_database: Any, visitor: Visitor, days: str) -> None:
    """A text that is no number of days is refused, and does not count as any."""
    page = await visitor.send(await visitor.open("quarantine", **UNWATCHED), soak_days=days)
    assert page.status in (409, 422)
    assert "v1" in await names(server_database)


async def test_each_step_needs_the_one_before(server_database: Any, visitor: Visitor) -> None:
    """A step whose turn has not come has no form, and says when it comes."""
    words = {
        "restore": "restore comes after quarantine.", "archive": "archive comes after quarantine.",
        "drop": "drop comes after quarantine.", "reduce": "reduce comes after drop.",
        "finish": "finish comes once, after reduce.",
    }  # fmt: skip
    for step, why_not in words.items():
        page = await visitor.open(step, **UNWATCHED)
        assert (page.action, why_not in page.words) == ("", True)
    await done(visitor, await visitor.order("quarantine", UNWATCHED))
    page = await visitor.open("quarantine", **UNWATCHED)
    assert (page.action, "V1 is in quarantine; quarantine comes once" in page.words) == ("", True)
    assert "The next step is drop." in (await visitor.open("retire")).words


async def test_a_drop_needs_the_name(server_database: Any, visitor: Visitor) -> None:
    """V1 is dropped once the migration's name is typed, and by no other text."""
    await done(visitor, await visitor.order("quarantine", UNWATCHED))
    held = await names(server_database)
    for typed in ("", "peopl", "PEOPLE"):
        page = await visitor.order("drop", UNWATCHED, confirm=typed)
        assert (page.status, "This is not the migration's name, people." in page.words) == (422, True)
    assert await names(server_database) == held
    assert (await visitor.open("drop", confirm="people", **UNWATCHED)).fields["confirm"] == [""]
    await done(visitor, await visitor.order("drop", UNWATCHED, confirm=" people "))
    assert await names(server_database) == {"v2"}
    assert (await record(server_database)).stage == "dropped"


async def test_an_archive_overwrites_nothing(server_database: Any, visitor: Visitor) -> None:
    """A collection that exists is no place for an archive, nor is no name; a path on the server cannot be given."""
    await done(visitor, await visitor.order("quarantine", UNWATCHED))
    page = await visitor.open("archive")
    assert "left to lazymig retire archive --file" in page.words
    for into, status in (("", 422), ("  ", 422), ("v2", 409), ("a\x00b", 422)):
        assert (await visitor.send(await visitor.open("archive"), into=into)).status == status
    before = await server_database["v2"].find({}).sort("_id", 1).to_list(None)
    await done(visitor, await visitor.order("archive", into="people_v1"))
    assert await server_database["people_v1"].count_documents({}) == 3
    assert await server_database["v2"].find({}).sort("_id", 1).to_list(None) == before


async def test_two_people_make_one_step(server_database: Any, visitor: Visitor) -> None:
    """Two people at two processes who order one step at once make one; V1 is moved once."""
    bob = Visitor(Host(repository(server_database), "Bob").app, "people")
    pages = [await one.open("quarantine", **UNWATCHED) for one in (visitor, bob)]
    sent = await asyncio.gather(visitor.send(pages[0]), bob.send(pages[1]))
    assert 303 in {one.status for one in sent}
    assert (await record(server_database)).stage == "quarantined"
    assert len(await names(server_database)) == 2
    assert sum(good for _, _, good in await outcomes(repository(server_database))) == 1


async def test_parts_of_documents_end_by_their_fields(server_database: Any) -> None:
    """Where entities are parts of documents, nothing is renamed; a drop removes the fields, once a name is typed."""
    sides = {"v1": server_database["v1"], "v2": server_database["v2"]}
    repo = Repository(people(part=True), **sides, phase=Phase.V2_ONLY)
    await repo.insert(ada(1))
    await server_database["v1"].insert_many([{**ada_v1(id), "mail": "x"} for id in (1, 2)])
    visitor = Visitor(Host(repo).app, "people")
    for step in ("quarantine", "restore"):
        page = await visitor.open(step, **UNWATCHED)
        assert (page.action, f"There is no {step} in this layout." in page.words) == ("", True), page.words
    assert "the part of V1 is where it was" in (await visitor.open("retire")).words
    await done(visitor, await visitor.order("drop", UNWATCHED, confirm="people"))
    left = await server_database["v1"].find({}).sort("_id", 1).to_list(None)
    assert left == [{"_id": id, "shoe_size": 38, "mail": "x"} for id in (1, 2)]
