"""What people do on the page is done, and stands in the history under their names."""

from __future__ import annotations

from lazymig import Phase
from tests.browser.ordering import open_form, order, send
from tests.browser.teams import WHO, Team
from tests.browser.visiting import Visitors, expect, phase_of

COUNT = 3_000


async def test_a_running_sweep_is_paused_slowed_and_resumed(team: Team, visitors: Visitors) -> None:
    """The sweep waits for as long as the page says so, and keeps the rate that was set."""
    await team.fill(COUNT)
    await team.begin(Phase.COEXIST)
    trickle = team.start(team.trickle())
    sweep = team.start(team.sweep(batch_size=5, concurrency=1))
    page = await visitors.open(team.page)
    await expect(page.locator("#passes-rate")).to_be_visible()
    await order(page, "Pause", "Pause", why="the shop is slow")
    await expect(page.locator("#passes")).to_contain_text("the shop is slow")
    assert (await team.control.steering(team.name)).paused_by == WHO
    await expect(page.locator("#passes tbody")).to_contain_text("paused")
    moved = await team.count("people_v2")
    assert moved < COUNT
    trickle.cancel()
    await team.turnstile.open()
    await order(page, "Set the rate", "Set the rate", rate="5000")
    await expect(page.locator("#passes tbody")).to_contain_text("5,000")
    assert await team.count("people_v2") == moved
    await order(page, "Resume", "Resume")
    assert (await sweep).migrated == COUNT
    await expect(page.locator("#passes tbody")).to_have_count(0)
    assert [(act.by, act.action) for act in await team.acts()] == [(WHO, "pause"), (WHO, "rate"), (WHO, "resume")]
    await expect(page.locator("#history")).to_contain_text("the shop is slow")


async def test_dead_letters_are_waived_and_tried_again(team: Team, visitors: Visitors) -> None:
    """One is accepted with a reason, the other is moved once its document was corrected; the counts follow."""
    await team.begin(Phase.COEXIST)
    await team.dead(["p1", "p2"])
    page = await visitors.open(team.page)
    await page.get_by_role("link", name="Dead letters in full").click()
    letters = page.locator("ul.letters > li")
    await expect(letters).to_have_count(2)
    await letters.filter(has_text="p1").get_by_role("link", name="Waive").click()
    await send(page, "Waive it", why="a test account")
    await expect(letters).to_have_count(1)
    await team.database["people"].update_one({"_id": "p2"}, {"$set": {"name": "Mary Somerville"}})
    await letters.filter(has_text="p2").get_by_role("link", name="Try again").click()
    await send(page, "Try it again")
    await expect(letters).to_have_count(0)
    assert [(letter.id, letter.waived) async for letter in team.control.dead_letters(team.name)] == [
        ("p1", "a test account")
    ]
    assert [row["_id"] for row in await team.stored("people_v2") if "first" in row] == ["p2"]


async def test_a_step_and_back(team: Team, visitors: Visitors) -> None:
    """Both are made for the reason that was typed; an empty one is refused, and what is wrong stands at its field."""
    await team.begin(Phase.PREPARE)
    page = await visitors.open(team.page)
    visitors.tolerate("422")
    await open_form(page, "Advance to shadow")
    await send(page, "Advance to shadow")
    await expect(page.get_by_role("alert")).to_contain_text("Nothing was done")
    await expect(page.locator("[name=why]")).to_have_attribute("aria-invalid", "true")
    assert len(await team.acts()) == 0
    await send(page, "Advance to shadow", why="fill V2 behind the writers")
    await expect(phase_of(page)).to_have_text("shadow")
    await order(page, "Roll back", "Roll back to prepare", why="p99 has doubled")
    await expect(phase_of(page)).to_have_text("prepare")
    standing = await team.control.standing(team.name)
    assert standing is not None
    assert [(moved.by, moved.why) for moved in standing.history[1:]] == [
        (WHO, "fill V2 behind the writers"), (WHO, "p99 has doubled"),
    ]  # fmt: skip


async def test_everybody_sees_what_one_has_done(team: Team, visitors: Visitors) -> None:
    """The pages of the others follow a step, with the name of the person who made it."""
    await team.begin(Phase.PREPARE)
    one, other = await visitors.open(team.page), await visitors.open(team.page)
    await order(one, "Advance to shadow", "Advance to shadow", why="all agreed")
    await expect(phase_of(other)).to_have_text("shadow")
    await expect(other.locator("#phases")).to_contain_text(WHO)


async def test_a_person_who_may_not_act_is_refused(team: Team, visitors: Visitors) -> None:
    """The page can be read; an action is refused, whatever its link, and nothing has changed."""
    await team.begin(Phase.PREPARE)
    before = await team.control.standing(team.name)
    page = await visitors.open(team.page)
    await open_form(page, "Advance to shadow")
    team.who = None
    visitors.tolerate("403")
    await send(page, "Advance to shadow", why="I can")
    await expect(page.locator("main")).to_contain_text("does not let you")
    assert await team.control.standing(team.name) == before
    assert await team.acts() == []
