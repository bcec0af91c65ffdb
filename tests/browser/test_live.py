"""The page follows what happens, without being loaded again."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from lazymig import Phase
from lazymig.control.samples import FINE
from tests.browser.serving import Host
from tests.browser.teams import REFRESH_S, Team
from tests.browser.visiting import PATIENCE_MS, Visitors, expect, mark, share_of, was_loaded_once

if TYPE_CHECKING:
    from playwright.async_api import Page

COUNT = 50


async def fill(team: Team, count: int = COUNT) -> None:
    """People in V1, none of them in V2."""
    await team.fill(count)
    await team.begin(Phase.COEXIST)


async def test_a_sweep_is_seen_as_it_goes(team: Team, visitors: Visitors) -> None:
    """Share, counts and history change on an open page, step by step; it is not loaded again."""
    await fill(team)
    team.turnstile.close()
    page = await visitors.open(team.page)
    await mark(page)
    await expect(share_of(page)).to_have_text("0.0 %")
    sweep = team.start(team.sweep(batch_size=10, concurrency=1))
    for moved in (10, 30, 50):
        await team.turnstile.let_through(moved - await team.count("people_v2"))
        await expect(share_of(page)).to_have_text(f"{2 * moved}.0 %")
        await expect(page.locator("#progress .legend")).to_contain_text(f"by sweeps {moved}")
    await sweep
    await expect(page.locator("#history")).to_contain_text(f"migrated {COUNT}")
    assert await was_loaded_once(page)


async def test_the_charts_grow(team: Team, visitors: Visitors) -> None:
    """What a sweep records while the page is open is drawn: by the same script, on the same canvas."""
    await fill(team, 1000)
    team.turnstile.close()
    page = await visitors.prepare()
    await page.clock.install()
    await page.goto(team.page)
    await mark(page)
    sweep = team.start(team.sweep(batch_size=10, concurrency=1))
    shares = [""]
    for _ in range(3):
        shares.append(await see_other_share(team, page, shares[-1]))
    assert sorted(shares[1:], key=to_number) == shares[1:]
    await expect(page.locator("#chart-share canvas")).to_have_count(1)
    await team.turnstile.open()
    assert (await sweep).migrated == 1000
    assert await was_loaded_once(page)


async def see_other_share(team: Team, page: Page, before: str) -> str:
    """Let the sweep go on until the chart's last value is another one, and return it.

    A sweep records a sample with a batch that ends when one is due, and the looks, which the stream sends on, find it.
    """
    legend = page.locator("#chart-share-last .value")
    async with asyncio.timeout(PATIENCE_MS / 1000):
        while (shown := "".join(await legend.all_text_contents())) in ("", before):
            await team.turnstile.let_through(10)
            await team.clock.sleep(FINE.every_s)
    return shown


def to_number(share: str) -> float:
    """Return the share that a chart's legend shows."""
    return float(share.removesuffix(" %"))


async def test_twenty_watch_by_one_poller(team: Team, visitors: Visitors) -> None:
    """Everybody sees a change, and for twenty no more is looked up than for one: once per interval."""
    await fill(team)
    pages = await asyncio.gather(*(visitors.open(team.page) for _ in range(3)))
    async with AsyncExitStack() as stack:
        streams = [await stack.enter_async_context(team.watch()) for _ in range(17)]
        for page in pages:
            await expect(share_of(page)).to_have_text("0.0 %")
        looks, began_s = team.looks.looks, time.monotonic()
        await team.sweep()
        for page in pages:
            await expect(share_of(page)).to_have_text("100.0 %")
        await asyncio.gather(*(stream.readuntil(b"100.0 %") for stream in streams))
    # However slow this machine is: it waits an interval between two looks.
    assert 0 < team.looks.looks - looks <= (time.monotonic() - began_s) / REFRESH_S + 1


async def test_the_page_finds_a_server_that_was_started_again(team: Team, visitors: Visitors, host: Host) -> None:
    """An open page says that it lost the server, connects again by itself, and shows what changed meanwhile."""
    visitors.tolerate(r"ERR_(CONNECTION_REFUSED|CONNECTION_RESET|INCOMPLETE_CHUNKED|EMPTY_RESPONSE)|\[object Event\]")
    await fill(team)
    page = await visitors.open(team.page)
    await mark(page)
    await host.stop()
    await expect(page.locator("#stream")).to_be_visible()
    await team.sweep()
    host.start()
    await expect(share_of(page)).to_have_text("100.0 %")
    await expect(page.locator("#stream")).to_be_hidden()
    assert await was_loaded_once(page)


async def test_the_focus_stays(team: Team, visitors: Visitors) -> None:
    """A link that has the focus keeps it while its panel is replaced."""
    await fill(team)
    page = await visitors.open(team.page)
    link = page.locator("#phases a.action").first
    await link.focus()
    await team.control.cut_over(team.name, share=0.5, by="bob", why="slowly")
    await expect(page.locator("#phases")).to_contain_text("50 %")
    await expect(link).to_be_focused()
    assert await page.evaluate("document.activeElement.isConnected")
