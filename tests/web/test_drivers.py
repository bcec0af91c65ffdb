"""The page's forms on every driver, and in memory."""

from __future__ import annotations

from typing import Any

from lazymig import Control, Phase, Sweeper
from lazymig.control import parts_of
from lazymig.status.looking import control_of
from tests.sweeps import thing
from tests.switches import followed, standing
from tests.web.visitors import Host, Visitor, done
from tests.wholes import NAME, whole_repository


async def test_forms_work_on_every_driver(database: Any) -> None:
    """Steps up, a pause, a waiver and a second try are ordered, kept, and refused where they are sent twice."""
    repo = followed(database)
    visitor = Visitor(Host(repo).app)
    await database["v1"].insert_many([thing(1), thing("<b>", -1), thing("x", -1)])
    await done(visitor, await visitor.order("begin", phase="prepare", why="all run"))
    for _ in range(2):
        await done(visitor, await visitor.order("advance", why="on"))
    await Sweeper(repo).run()
    await done(visitor, await visitor.order("pause", kind="sweep", why="the shop is slow"))
    assert (await visitor.order("waive", {"id": "str:<b>"}, why="test data")).status == 303
    await database["v1"].update_one({"_id": "x"}, {"$set": {"n": 1}})
    await done(visitor, await visitor.order("retry"))
    control = control_of(repo)
    assert [(one.id, one.waived) async for one in control.dead_letters("things")] == [("<b>", "test data")]
    assert (await standing(repo)).phase is Phase.COEXIST
    kept = await parts_of(control).journal("things").find_last(10)
    assert [(act.action, act.good) for act in reversed(kept)] == [
        ("begin", True), ("advance", True), ("advance", True), ("pause", True), ("waive", True), ("retry", True),
    ]  # fmt: skip
    page = await visitor.open("rollback")
    assert [(await visitor.send(page, why="back")).status for _ in range(2)] == [303, 303]
    assert (await standing(repo)).phase is Phase.SHADOW


async def test_letters_of_one_document_are_acted_on(server_database: Any) -> None:
    """Where one document carries both shapes, a letter is waived and an entity is tried again by the same forms."""
    control = Control(server_database["lazymig_control"])
    repo = whole_repository(server_database, phase=control)
    visitor = Visitor(Host(repo).app)
    await server_database[NAME].insert_many([thing(1), thing("<b>", -1), thing(2, -1)])
    await done(visitor, await visitor.order("begin", phase="coexist", why="all run"))
    await Sweeper(repo).run()
    assert (await visitor.order("waive", {"id": "str:<b>"}, why="test data")).status == 303
    await server_database[NAME].update_one({"_id": 2}, {"$set": {"n": 1}})
    await done(visitor, await visitor.order("retry", {"id": "int:2"}))
    assert [(one.id, one.waived) async for one in control.dead_letters("things")] == [("<b>", "test data")]
    assert (await server_database[NAME].find_one({"_id": 2}))["count"] == 1
    await done(visitor, await visitor.order("pause", kind="sweep", why="the shop is slow"))
    await done(visitor, await visitor.order("rollback", why="back"))
    assert (await standing(repo)).phase is Phase.SHADOW
