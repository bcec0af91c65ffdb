"""The pictures of the documentation: `python -m docs.screens` makes a migration, and photographs its page.

It needs Chromium and a mongod as `tests/browser` does, and writes into `docs/_static`.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from playwright.async_api import Page, async_playwright
from pymongo import AsyncMongoClient

from docs.screens.story import HASTE, NAME, Story, under_way
from lazymig import Sweeper, Verifier, web
from lazymig.testing import Server
from tests.browser.chromium import find_browser
from tests.browser.serving import Host
from tests.browser.visiting import PHONE, Visitors
from tests.house import ROOT

INTO = ROOT / "docs" / "_static"


async def photograph(page: Page, name: str, *, whole: bool = False) -> None:
    """Keep what the page shows."""
    INTO.mkdir(exist_ok=True)
    await page.screenshot(path=INTO / f"control-room-{name}.png", full_page=whole, animations="disabled")


async def take_pictures(story: Story, visitors: Visitors, address: str) -> None:
    """Photograph the page in the middle of a sweep, the form of a step, and the report."""
    users = asyncio.create_task(story.work(1))
    await asyncio.sleep(240 / HASTE)
    sweep = asyncio.create_task(
        Sweeper(story.repo, batch_size=200, concurrency=1, rate_limit=600, clock=story.clock).run()
    )
    await asyncio.sleep(300 / HASTE)
    page = f"{address}/m/{NAME}/"
    looks: dict[str, dict[str, Any]] = {
        "light": {}, "dark": {"color_scheme": "dark"}, "phone": {"viewport": PHONE, "device_scale_factor": 2},
    }  # fmt: skip
    for name, options in looks.items():
        shown = await visitors.open(page, **options)
        await shown.wait_for_load_state("load")
        await asyncio.sleep(1)
        await photograph(shown, name, whole=name != "phone")
    await sweep
    users.cancel()
    await Verifier(story.repo, clock=story.clock).run()
    await photograph(await visitors.open(f"{page}do/advance"), "advance", whole=True)
    await photograph(await visitors.open(f"{page}report.html"), "report", whole=True)
    assert visitors.surprises == []


async def main(program: Path, uri: str) -> None:
    """Make the migration, and take its pictures."""
    host = Host()
    host.start()
    async with AsyncMongoClient(uri) as client, async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        async with under_way(client["pictures"]) as story:
            room = web.app(story.repo, authorize=lambda request, action: "Ada", soak_s=0.0)
            await take_pictures(story, Visitors(browser), host.mount(room))
        await browser.close()
    await host.stop()


if __name__ == "__main__":
    server = Server().start()
    try:
        asyncio.run(main(find_browser().require(), server.uri))
    finally:
        server.stop()
