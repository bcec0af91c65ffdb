"""All that looks at a migration looks also where its collections are not there: yet, any more, or by a wrong name."""

from __future__ import annotations

from typing import Any

import pytest

from lazymig import Doctor, Phase, Repository, Retirement, Switch
from lazymig.status.looking import looked_up
from lazymig.switching.case import Demands
from lazymig.web.looks import look_up
from lazymig.web.report import make_report
from tests.places import place_repository
from tests.sweeps import control, thing
from tests.switches import followed

SERVER = pytest.mark.parametrize("driver", ["pymongo"])
SIDES = ((), ("v1",), ("v2",))


async def look_everywhere(repo: Repository[Any, Any], phase: Phase) -> None:
    """Look by each tool that changes nothing."""
    for exact in (False, True):
        await looked_up(repo, exact=exact)
    await Doctor(repo).run()
    make_report(await look_up(repo, Demands(), None))
    await Switch(repo).plan("advance")
    if phase is Phase.V2_ONLY:
        await Retirement(repo).report()


async def begin(database: Any, repo: Repository[Any, Any], phase: Phase, there: tuple[str, ...]) -> None:
    """Record the phase, and leave only these collections beside the control collection."""
    await Switch(repo).begin(phase, by="me", why="a test")
    for name in ("v1", "v2"):
        await database.drop_collection(name)
    for name in there:
        await database.create_collection(name)


@SERVER
@pytest.mark.parametrize("phase", list(Phase))
@pytest.mark.parametrize("there", SIDES)
async def test_two_collections(database: Any, phase: Phase, there: tuple[str, ...]) -> None:
    """In each phase, without both collections and with one of them: nothing fails, and nothing is made."""
    repo = followed(database)
    await begin(database, repo, phase, there)
    await look_everywhere(repo, phase)
    assert set(await database.list_collection_names()) == {"lazymig_control", *there}


@SERVER
@pytest.mark.parametrize("phase", [Phase.COEXIST, Phase.V2_ONLY])
async def test_one_document(database: Any, phase: Phase) -> None:
    """Where documents were to carry both shapes and there is no collection: nothing fails, and nothing is made."""
    repo = place_repository(database, phase=control(database))
    await Switch(repo).begin(phase, by="me", why="a test")
    await look_everywhere(repo, phase)
    assert await database.list_collection_names() == ["lazymig_control"]


@SERVER
async def test_what_goes_where_v2_is_missing(database: Any) -> None:
    """A retirement says so: nothing of what V1 holds would be left, and the conditions alone do not show that."""
    repo = followed(database)
    await begin(database, repo, Phase.V2_ONLY, ())
    await database["v1"].insert_one(thing(1))
    report = await Retirement(repo).report()
    name = database.name
    assert f"V2, {name}.v2, does not exist; V1 alone has documents" in report.warnings
    assert f"in V2, {name}.v2: 0 tombstones, and of 0 documents what only the migration needed" in report.goes
    await database.create_collection("v2")
    assert not any("does not exist" in warning for warning in (await Retirement(repo).report()).warnings)
