"""The pictures of the documentation: `python -m docs.screens` makes a migration, and photographs its page.

It needs Chromium and a mongod as `tests/browser` does, and `pillow`. It writes into `docs/_static`.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from PIL import Image
from playwright.async_api import Page, async_playwright
from pymongo import AsyncMongoClient

from docs.screens.story import NAME, Story, under_way
from lazymig import web
from lazymig.testing import Server
from tests.browser.chromium import find_browser
from tests.browser.serving import Host
from tests.browser.visiting import DESK, PHONE, Visitors
from tests.house import ROOT

INTO = ROOT / "docs" / "_static"


async def photograph(page: Page, name: str, first: str = "", last: str = "") -> None:
    """Keep what the window shows; or from one part of the page to another, over its whole width."""
    INTO.mkdir(exist_ok=True)
    await page.evaluate("document.fonts.ready")
    options: dict[str, Any] = {}
    if last:
        top = (
            await page.locator(first).evaluate("part => part.getBoundingClientRect().top + scrollY - 16")
            if first
            else 0
        )
        bottom = await page.locator(last).evaluate("part => part.getBoundingClientRect().bottom + scrollY + 16")
        size = page.viewport_size or DESK
        options = {"full_page": True, "clip": {"x": 0, "y": top, "width": size["width"], "height": bottom - top}}
    file = INTO / f"control-room-{name}.png"
    await page.screenshot(path=file, animations="disabled", **options)
    with Image.open(file) as picture:
        # A page has few colours: with a palette of them the file is a quarter as large.
        picture.convert("RGB").quantize(128, dither=Image.Dither.NONE).save(file, optimize=True)


async def take_pictures(story: Story, visitors: Visitors, address: str, folder: Path) -> None:
    """Photograph the page in the middle of a sweep, the form of a step, and the report."""
    users = asyncio.create_task(story.work(1))
    await story.clock.sleep(240)
    sweep = asyncio.create_task(story.sweep())
    await story.clock.sleep(300)
    page = f"{address}/m/{NAME}/"
    await photograph(await open_page(visitors, page), "light", "", "#charts")
    await photograph(await open_page(visitors, page, color_scheme="dark"), "dark", "#progress", "#charts")
    await photograph(await open_page(visitors, page, viewport=PHONE, device_scale_factor=2), "phone")
    await sweep
    users.cancel()
    await story.settle()
    await story.clock.sleep(60)
    form = await visitors.open(f"{page}do/advance")
    await form.locator("[name=why]").fill("a clean verification, and a quiet week")
    await photograph(form, "advance", "", "form.order")
    async with form.expect_download() as kept:
        await form.evaluate("address => { location.href = address; }", f"{page}report.html")
    await (await kept.value).save_as(folder / "report.html")
    report = await visitors.open((folder / "report.html").as_uri())
    await photograph(report, "report", "", "#verification")
    assert visitors.surprises == []


async def open_page(visitors: Visitors, address: str, **options: Any) -> Page:
    """Open the page, and wait for its charts."""
    page = await visitors.open(address, **options)
    await page.locator("#charts canvas").first.wait_for()
    return page


async def main(program: Path, uri: str, folder: Path) -> None:
    """Make the migration, and take its pictures."""
    host = Host()
    host.start()
    async with AsyncMongoClient(uri) as client, async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        async with under_way(client["pictures"]) as story:
            room = web.app(story.repo, authorize=lambda request, action: "Ada", soak_s=0.0)
            await take_pictures(story, Visitors(browser), host.mount(room), folder)
        await browser.close()
    await host.stop()


if __name__ == "__main__":
    server = Server().start()
    try:
        with TemporaryDirectory() as folder:
            asyncio.run(main(find_browser().require(), server.uri, Path(folder)))
    finally:
        server.stop()
