"""The eyes of these tests themselves: each finds what is wrong, and only that."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from tests.browser.looks import find_low_contrast, find_too_wide, shows_focus
from tests.browser.visiting import PHONE, Visitors

if TYPE_CHECKING:
    from playwright.async_api import Route

PAGE = "<style>body {{ background: #fff }}</style><body>{}</body>"


@pytest.mark.parametrize(
    ("html", "found"),
    [
        ("<p style='color:#767676'>ok</p>", []),
        ("<p style='color:#777'>pale</p>", ['p "pale": 4.48, and 4.5 is the least']),
        ("<p style='color:#777;font-size:24px'>large</p>", []),
        ("<p style='color:#000;opacity:.3'>faint</p>", ['p "faint": 2.11, and 4.5 is the least']),
        ("<p style='color:oklch(0.9 0 0)'>modern</p>", ['p "modern": 1.35, and 4.5 is the least']),
        ("<p style='background:#000'><b style='color:#333'>dark</b></p>", ['b "dark": 1.66, and 4.5 is the least']),
        ("<p style='background:rgb(0 0 0/.5)'>grey</p>", []),
        ("<p style='color:#fff' hidden>hidden</p>x", []),
        ("<svg><text y='20' style='fill:#eee;color:#000'>svg</text></svg>", ['text "svg": 1.16, and 4.5 is the least']),
        ("x<input name='why' style='color:#ddd;background:#fff'>", ['input "why": 1.36, and 4.5 is the least']),
        ("", ["there is no text"]),
    ],
)
async def test_low_contrast_is_found(visitors: Visitors, html: str, found: list[str]) -> None:
    """The computed colour is compared with what is behind it, by the size of the text."""
    page = await visitors.prepare()
    await page.set_content(PAGE.format(html))
    assert await find_low_contrast(page) == found


async def test_a_background_that_is_left_to_the_browser_is_found(visitors: Visitors) -> None:
    """It need not fit the colour of the text."""
    page = await visitors.prepare()
    await page.set_content("<p>text</p>")
    assert await find_low_contrast(page) == ['p "text": nothing opaque is behind it']


async def test_what_sticks_out_is_found(visitors: Visitors) -> None:
    """A table that is too wide counts where the page scrolls, and not where it scrolls itself."""
    page = await visitors.prepare(viewport=PHONE)
    wide = "<table id=t style='width:900px'><tr><td>x</table>"
    await page.set_content(wide)
    assert (await find_too_wide(page))[0] == "table. #t"
    await page.set_content(f"<div style='overflow-x:auto'>{wide}</div>")
    assert await find_too_wide(page) == []


async def test_a_hidden_focus_is_found(visitors: Visitors) -> None:
    """A link without an outline does not show that it has the focus."""
    page = await visitors.prepare()
    await page.set_content("<a href='#' id=a>one</a> <a href='#' id=b style='outline:none'>two</a>")
    await page.keyboard.press("Tab")
    assert await shows_focus(page)
    await page.keyboard.press("Tab")
    assert not await shows_focus(page)


async def test_whatever_goes_wrong_is_noted(visitors: Visitors) -> None:
    """An error of a script, a dialog, a violation of the page's policy, and an answer that is no success."""
    page = await visitors.prepare()
    policy = {"Content-Security-Policy": "script-src 'self'; style-src 'none'"}
    bodies = {
        "/": "<p style='color:red'>x</p><script src=/a></script><script src=/b></script><script>no()</script>",
        "/a": "alert('hello'); no()",
    }

    async def answer(route: Route) -> None:
        body = bodies.get(urlsplit(route.request.url).path)
        kind = "text/html" if body and "<" in body else "text/javascript"
        await route.fulfill(status=200 if body else 404, headers=policy, content_type=kind, body=body or "")

    await page.route("**/*", answer)
    await page.goto("http://page.test/")
    provoked = (
        "inline style violates", "inline script violates", "dialog: hello", "script: no is not", "answer: 404",
        "Failed to load resource",
    )  # fmt: skip
    for part in provoked:
        assert any(part in one for one in visitors.surprises), (part, visitors.wrong)
    for part in provoked:
        visitors.tolerate(part)
