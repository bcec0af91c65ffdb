"""The page as people read it: with strange ids, without JavaScript, by keyboard, on a phone, in the dark."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import pytest

from lazymig import Phase
from tests.browser.looks import find_low_contrast, find_too_wide, shows_focus
from tests.browser.ordering import open_form, order, send
from tests.browser.teams import WHO, Team
from tests.browser.visiting import PHONE, Visitors, expect, phase_of, share_of

if TYPE_CHECKING:
    from playwright.async_api import Page

#: Ids that would do something where they are not escaped: as HTML, in an attribute, in an address, as a template.
STRANGE = (
    "<img src=x onerror=alert(1)>", "\"><script>alert(2)</script>", "' onfocus='alert(3)' autofocus='", "{{ 7 * 7 }}",
    "javascript:alert(4)//", "</title></style></script><h1>x", "a&b=c#d?e%2F", "‮gnp.exe", "../../do/drop",
)  # fmt: skip
#: The pages that people see, by their paths below the migration's.
PAGES = ("", "dead-letters", "do/advance", "do/pause", "do/cut-over", "do/retry", "do/retire")


@pytest.fixture
async def busy(team: Team) -> Team:
    """A team whose page has something in every panel: dead letters, runs, a verification that found something."""
    await team.begin(Phase.COEXIST)
    await team.fill(20)
    await team.dead(STRANGE)
    await team.use("p0001")
    await team.database["people_v2"].update_one({"_id": "p0003"}, {"$set": {"last": "Unlike"}})
    await team.verify()
    await team.control.pause(team.name, by="<b>bob</b>", reason="<script>alert(5)</script>")
    return team


async def open_each(visitors: Visitors, team: Team, **options: object) -> AsyncIterator[Page]:
    """Open every page in turn, in one tab."""
    page = await visitors.prepare(**options)
    for path in PAGES:
        await page.goto(team.page + path)
        await expect(page.locator("h1").first).to_be_visible()
        yield page
    # The report is one file, which a browser keeps instead of showing it.
    with TemporaryDirectory() as folder:
        await page.goto(team.page)
        async with page.expect_download() as kept:
            await page.get_by_role("link", name="Report as one file").click()
        report = Path(folder, "report.html")
        await (await kept.value).save_as(report)
        await page.goto(report.as_uri())
        yield page


def shown_as(id: str) -> str:
    """Return an id as it is shown: what cannot be printed by its code."""
    return id if id.isprintable() else id.encode("unicode_escape").decode()


async def test_the_only_migration_is_shown_at_once(team: Team, visitors: Visitors) -> None:
    """The address of the whole application leads to the page where there is one migration."""
    await team.begin()
    page = await visitors.open(team.home + "/")
    assert page.url == team.page
    await expect(page.locator("h1")).to_have_text("people")


async def test_ids_are_text(busy: Team, visitors: Visitors) -> None:
    """Ids, names and reasons with HTML in them are shown as they are, everywhere; nothing of them runs."""
    page = await visitors.open(busy.page + "dead-letters")
    shown = await page.locator("ul.letters code").all_text_contents()
    assert {text.removeprefix("str:") for text in shown} == set(map(shown_as, STRANGE))
    async for each in open_each(visitors, busy):
        assert await each.locator("img, main h1 + h1, [onfocus], [onerror], a[href^=javascript]").count() == 0
        assert await each.locator("script:not([src])").count() == 0
    main = await visitors.open(busy.page)
    await expect(main.locator("#passes")).to_contain_text("<script>alert(5)</script>")
    await expect(main.locator("#passes")).to_contain_text("<b>bob</b>")


async def test_strange_ids_can_be_acted_on(busy: Team, visitors: Visitors) -> None:
    """The entity itself is waived, and no other: its id comes back as it went out."""
    page = await visitors.open(busy.page + "dead-letters")
    letters, waived = page.locator("ul.letters > li"), set()
    for left, id in reversed([*enumerate(STRANGE)]):
        texts = await letters.locator("code").all_text_contents()
        place = [text.removeprefix("str:") for text in texts].index(shown_as(id))
        await letters.nth(place).get_by_role("link", name="Waive").click()
        await send(page, "Waive it", why="<i>known</i>")
        await expect(letters).to_have_count(left)
        waived.add(id)
        assert {letter.id async for letter in busy.control.dead_letters(busy.name) if letter.waived} == waived


async def test_without_javascript(busy: Team, visitors: Visitors) -> None:
    """Everything can be read, and a step is made by plain links and forms; the page comes again by itself."""
    await busy.control.resume(busy.name, by="bob")
    page = await visitors.open(busy.page, java_script_enabled=False)
    await expect(share_of(page)).to_be_visible()
    for panel in ("phases", "progress", "trouble", "verification", "passes", "fleet", "conversions", "history"):
        await expect(page.locator(f"#{panel}")).to_be_visible()
    assert await page.locator("#charts figure svg").count() or await page.locator("#charts .none").count()
    assert await page.locator("noscript meta[http-equiv=refresh]").count() or "refresh" in await page.content()
    await order(page, "Roll back", "Roll back to shadow", why="by hand")
    await page.goto(busy.page)
    await expect(phase_of(page)).to_have_text("shadow")
    assert [(act.by, act.action) for act in await busy.acts()] == [(WHO, "rollback")]


async def test_by_keyboard_alone(team: Team, visitors: Visitors) -> None:
    """A step is made without a mouse: every stop is visible, the first one skips to the content."""
    await team.begin(Phase.PREPARE)
    page = await visitors.open(team.page)
    await page.keyboard.press("Tab")
    await expect(page.locator(".skip")).to_be_focused()
    await expect(page.locator(".skip")).to_be_in_viewport()
    await page.keyboard.press("Enter")
    await go_to(page, "Advance to shadow")
    await page.keyboard.press("Enter")
    await page.wait_for_url("**/do/advance")
    await go_to(page, "why")
    await page.keyboard.type("fill V2")
    await go_to(page, "Advance to shadow")
    await page.keyboard.press("Enter")
    await expect(phase_of(page)).to_have_text("shadow")


async def go_to(page: Page, name: str) -> None:
    """Press Tab until the part with this text or name has the focus, and see it at each stop."""
    for _ in range(40):
        await page.keyboard.press("Tab")
        assert await shows_focus(page), await page.evaluate("document.activeElement.outerHTML")
        if name in await page.evaluate(
            "[document.activeElement.textContent.trim(), document.activeElement.name ?? '']"
        ):
            return
    raise AssertionError(f"{name} cannot be reached by Tab")


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_contrast(busy: Team, visitors: Visitors, scheme: str) -> None:
    """Every text stands out from what is behind it, on every page, in the light and in the dark."""
    found = {}
    backgrounds = set()
    async for page in open_each(visitors, busy, color_scheme=scheme):
        found[page.url] = await find_low_contrast(page)
        backgrounds.add(await page.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert {url: low for url, low in found.items() if low} == {}
    [background] = backgrounds
    red = int(background.removeprefix("rgb(").partition(",")[0])
    assert red < 64 if scheme == "dark" else red > 192


async def test_a_phone(busy: Team, visitors: Visitors) -> None:
    """No page scrolls sideways at the width of a small phone, and what can be touched is large enough."""
    wide, small = {}, {}
    async for page in open_each(visitors, busy, viewport=PHONE, has_touch=True, is_mobile=True):
        wide[page.url] = await find_too_wide(page)
        # In one step: a locator first finds the parts, and a live panel may be replaced before they are measured.
        sizes = await page.evaluate(
            "[...document.querySelectorAll('a.action, button')]"
            ".map(one => [one.textContent.trim(), one.getBoundingClientRect().height])"
        )
        small[page.url] = [name for name, height in sizes if height < 24]
    assert {url: parts for url, parts in wide.items() if parts} == {}
    assert {url: parts for url, parts in small.items() if parts} == {}


async def test_a_form_on_a_phone(team: Team, visitors: Visitors) -> None:
    """A step is made on a phone."""
    await team.begin(Phase.PREPARE)
    page = await visitors.open(team.page, viewport=PHONE, has_touch=True, is_mobile=True)
    await open_form(page, "Advance to shadow")
    await send(page, "Advance to shadow", why="on the way home")
    await expect(phase_of(page)).to_have_text("shadow")
