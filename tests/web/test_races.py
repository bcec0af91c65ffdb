"""Two people and one thing: whatever the action, the later one reads that it has changed, and changes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from lazymig import Phase, Repository, Switch
from lazymig.control import parts_of
from lazymig.status.looking import control_of
from lazymig.web.actions.action import Action
from lazymig.web.actions.every import ACTIONS
from tests.switches import followed, standing
from tests.web.visitors import Host, Page, Visitor, done

Act = Callable[[Any], Awaitable[None]]


async def letter(repo: Repository[Any, Any], id: int = 5) -> Any:
    """A dead letter."""
    return await parts_of(control_of(repo)).letters.find("things", id)


async def journal(repo: Repository[Any, Any]) -> list[tuple[str, str, bool]]:
    """Who ordered what, and whether it was done, oldest first."""
    acts = await parts_of(control_of(repo)).journal("things").find_last(100)
    return [(act.by, act.action, act.good) for act in reversed(acts)]


async def pause(repo: Repository[Any, Any], why: str) -> None:
    assert await control_of(repo).pause("things", by="Bob", reason=why)


async def resume(repo: Repository[Any, Any]) -> None:
    assert await control_of(repo).resume("things", by="Bob")


async def pause_again(repo: Repository[Any, Any]) -> None:
    await resume(repo)
    await pause(repo, "another reason")


async def waive(repo: Repository[Any, Any]) -> None:
    assert await control_of(repo).waive("things", 5, "first")


async def waive_again(repo: Repository[Any, Any]) -> None:
    assert await control_of(repo).unwaive("things", 5)
    assert await control_of(repo).waive("things", 5, "another reason")


async def set_rate(repo: Repository[Any, Any]) -> None:
    await control_of(repo).set_rate("things", 7, by="Bob")


async def roll_back(repo: Repository[Any, Any]) -> None:
    await Switch(repo, soak_s=0).rollback(by="Bob", why="first")


async def change_cut_over(repo: Repository[Any, Any]) -> None:
    await control_of(repo).cut_over("things", share=0.5, by="Bob", why="first")


async def nothing(repo: Repository[Any, Any]) -> None:
    """Nothing need be so before."""


async def paused(repo: Repository[Any, Any]) -> None:
    await pause(repo, "the shop is slow")


#: What must be so before, what Ada orders, and what Bob does first.
RACES: dict[str, tuple[Act, str, dict[str, str], dict[str, str], Act]] = {
    "rollback and rollback": (nothing, "rollback", {}, {"why": "x"}, roll_back),
    "rollback and cut-over": (nothing, "rollback", {}, {"why": "x"}, change_cut_over),
    "cut-over and cut-over": (nothing, "cut-over", {}, {"share": "0.1", "why": "x"}, change_cut_over),
    "cut-over and rollback": (nothing, "cut-over", {}, {"share": "0.1", "why": "x"}, roll_back),
    "pause and pause": (nothing, "pause", {}, {"kind": "sweep", "why": "x"}, paused),
    "resume and resume": (paused, "resume", {}, {"kind": "sweep"}, resume),
    "resume and another pause": (paused, "resume", {}, {"kind": "sweep"}, pause_again),
    "rate and rate": (nothing, "rate", {}, {"kind": "sweep", "rate": "9"}, set_rate),
    "waive and waive": (nothing, "waive", {"id": "int:5"}, {"why": "x"}, waive),
    "take back and another waiver": (waive, "unwaive", {"id": "int:5"}, {}, waive_again),
}


async def stood(repo: Repository[Any, Any]) -> Any:
    """Everything that a race may change, but for the journal."""
    rows = parts_of(control_of(repo)).rows
    return await rows.find_all({"kind": {"$ne": "journal"}}, sort=[("_id", 1)])


def refused(page: Page) -> None:
    """Check that a person reads that nothing was done."""
    assert page.status == 409, page.words
    assert page.roles["alert"]
    assert any(words in page.words for words in ("has changed", "just", "already", "meanwhile", "is under way")), (
        page.words
    )


@pytest.mark.parametrize("race", RACES)
async def test_an_old_form_changes_nothing(dead: Repository[Any, Any], visitor: Visitor, race: str) -> None:
    """A form that was open while somebody else acted is refused in words, and what they did stands."""
    before, action, query, typed, other = RACES[race]
    await before(dead)
    page = await visitor.open(action, **query)
    await other(dead)
    stands = await stood(dead)
    refused(await visitor.send(page, **typed))
    assert await stood(dead) == stands
    assert all(not good for _, _, good in await journal(dead))


# Of two rates at one moment the later one holds, and the history has both.
@pytest.mark.parametrize("race", sorted(RACES.keys() - {"rate and rate"}))
async def test_one_that_is_overtaken_changes_nothing(
    dead: Repository[Any, Any], visitor: Visitor, monkeypatch: pytest.MonkeyPatch, race: str
) -> None:
    """An order that somebody else overtakes after its last look is refused, and the history has it once, as refused."""
    before, action, query, typed, other = RACES[race]
    await before(dead)
    act, stands = type(ACTIONS[action]).act, []

    async def overtaken(self: Action, case: Any, sheet: Any) -> str:
        await other(dead)
        stands.append(await stood(dead))
        return await act(self, case, sheet)

    monkeypatch.setattr(type(ACTIONS[action]), "act", overtaken)
    sent = await visitor.order(action, query, **typed)
    refused(sent)
    assert await journal(dead) == [("Ada", action, False)]
    assert [await stood(dead)] == stands


async def test_the_statement_itself_finds_out(dead: Repository[Any, Any]) -> None:
    """A waiver, its end and the end of a pause change what was seen and nothing else, however late they come."""
    letters, orders = parts_of(control_of(dead)).letters, parts_of(control_of(dead)).orders("things", "sweep")
    seen = await letter(dead)
    await waive(dead)
    assert not await letters.waive("things", 5, "late", seen=seen)
    seen = await letter(dead)
    await waive_again(dead)
    assert not await letters.unwaive("things", 5, seen=seen)
    assert (await letter(dead)).waived == "another reason"
    assert await letters.unwaive("things", 5, seen=await letter(dead))
    await pause(dead, "the shop is slow")
    first = await orders.find()
    await pause_again(dead)
    assert not await orders.resume("Ada", seen=first)
    assert (await orders.find()).reason == "another reason"
    assert await orders.resume("Ada", seen=await orders.find())


@pytest.mark.parametrize("apart", [False, True], ids=["one process", "two processes"])
@pytest.mark.parametrize("actions", [("advance", "rollback"), ("rollback", "rollback"), ("waive", "retry")])
async def test_two_at_once(
    dead: Repository[Any, Any], host: Host, server_database: Any, apart: bool, actions: tuple[str, str]
) -> None:
    """Two forms that are sent at once are two entries at most, and no more moves than entries that say so."""
    ada = Visitor(host.app)
    bob = Visitor(Host(followed(server_database), "Bob").app if apart else ada.app)
    query = {"id": "int:5"} if "waive" in actions else {}
    forms = [(one, await one.open(action, **query)) for one, action in zip((ada, bob), actions, strict=True)]
    people, pages = zip(*[(one, page) for one, page in forms if page.action], strict=True)
    sent = await asyncio.gather(*(one.send(page, why="x") for one, page in zip(people, pages, strict=True)))
    for one, page in zip(people, sent, strict=True):
        if page.status == 303:
            await done(one, page)
        else:
            refused(page)
    kept = await journal(dead)
    moves = [entry for entry in kept if entry[1] in ("advance", "rollback") and entry[2]]
    assert len(moves) == len((await standing(dead)).history) - 1
    assert len(moves) <= 1
    assert ("waive" not in actions) or [good for _, action, good in kept if action == "retry"] == [True]


async def test_phases_are_as_the_forms_say(dead: Repository[Any, Any], visitor: Visitor) -> None:
    """A form from before a step is refused, also where the phase is the same again."""
    page = await visitor.open("rollback")
    await roll_back(dead)
    await Switch(dead, soak_s=0).advance(by="Bob", why="again")
    assert (await standing(dead)).phase is Phase.COEXIST
    refused(await visitor.send(page, why="x"))
    assert len((await standing(dead)).history) == 3
