"""The whole life of a migration, driven from the page: from `v1_only` to the end of V1."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from lazymig import Phase
from lazymig.loop.clock import SYSTEM_CLOCK
from tests.browser.numbers import list_numbers, read_numbers
from tests.browser.ordering import open_form, order, send
from tests.browser.teams import WHO, Team
from tests.browser.visiting import PATIENCE_MS, Visitors, expect, phase_of

if TYPE_CHECKING:
    from playwright.async_api import Page

COUNT = 40


async def test_the_whole_life(team: Team, visitors: Visitors, tmp_path: Path) -> None:
    """Each step is ordered by its form, and at each rest the page shows the numbers of `lazymig status --json`."""
    visitors.tolerate("503")  # there is no phase yet, which the page says
    await team.fill(COUNT)
    page = await visitors.open(team.page)
    await order(page, "Record the first phase", "Record it", why="as the service runs now")
    await use(team)
    await rest(team, page, Phase.V1_ONLY)
    for phase in (Phase.PREPARE, Phase.SHADOW, Phase.COEXIST):
        await advance(page, phase)
        await use(team)
        await rest(team, page, phase)
    await order(page, "Roll back", "Roll back to shadow", why="p99 has doubled")
    await rest(team, page, Phase.SHADOW)
    await advance(page, Phase.COEXIST)
    await team.sweep()
    await team.verify()
    await rest(team, page, Phase.COEXIST, tmp_path)
    await advance(page, Phase.V2_PRIMARY)
    await team.verify()
    await rest(team, page, Phase.V2_PRIMARY)
    await advance(page, Phase.V2_ONLY, "outside-writes", confirm=team.name)
    await rest(team, page, Phase.V2_ONLY, tmp_path)
    await retire(team, page)
    assert [(act.by, act.action, act.good) for act in await team.acts()] == [
        (WHO, action, True)
        for action in (
            *("begin", *["advance"] * 3, "rollback", *["advance"] * 3),
            *("quarantine", "archive", "drop", "reduce", "finish"),
        )
    ]  # fmt: skip


async def use(team: Team) -> None:
    """Let the service work: it joins the fleet, and what it reads and writes moves where the phase says so."""
    assert await team.repo.v1.get("p0001") is not None
    await team.rename("p0002")


async def advance(page: Page, phase: Phase, *accept: str, **typed: str) -> None:
    """Order the next step, and see it made."""
    await order(page, f"Advance to {phase}", f"Advance to {phase}", *accept, why=f"to {phase}", **typed)
    await expect(phase_of(page)).to_have_text(str(phase))


async def rest(team: Team, page: Page, phase: Phase, folder: Path | None = None) -> None:
    """See that the page has the status's numbers, in this phase, once nothing changes; with a folder, the command's."""
    shown: Mapping[str, str] = {}
    wanted = list_numbers(await team.status())
    until_s = SYSTEM_CLOCK.monotonic() + PATIENCE_MS / 1000
    while shown != wanted and SYSTEM_CLOCK.monotonic() < until_s:
        await team.clock.sleep(1)
        shown, wanted = await read_numbers(page), list_numbers(await team.status())
    assert shown == wanted
    assert shown["phase"] == phase
    if folder is not None:
        # The command demands of the past what its options say, and the page what its application was given.
        printed = list_numbers(await team.run_status(folder)) | {"blocked": shown["blocked"]}
        assert shown == printed


async def retire(team: Team, page: Page) -> None:
    """Take V1 out of service, step by step."""
    for step, button, typed in (
        ("quarantine", "Put V1 in quarantine", {}),
        ("archive", "Archive V1 in a collection", {"into": "people_archive"}),
        ("drop", "Drop V1", {"confirm": team.name}),
        ("reduce", "Reduce V2's documents", {}),
        ("finish", "Finish the retirement", {}),
    ):
        await page.locator("#phases-retire").click()
        await open_form(page, step)
        options = page.locator("form.options")
        if await options.locator("[name=soak_days]").count():
            await options.locator("[name=soak_days]").fill("0")
            await options.locator("[name=unwatched]").check()
            await options.get_by_role("button", name="Look again").click()
        await send(page, button, **typed)
        await page.wait_for_url(f"{team.page}*")
        await expect(page.locator("#errand .notice.good")).to_be_visible()
    names = await team.database.list_collection_names()
    assert sorted(names) == ["lazymig_control", "people_archive", "people_v2"]
    assert await team.count("people_archive") == await team.count("people_v2") == COUNT
    await page.locator("#phases-retire").click()
    await expect(page.locator("main")).to_contain_text("Nothing is left to do.")
