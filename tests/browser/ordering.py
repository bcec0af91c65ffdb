"""What a visitor does with the forms of a page: opens one by its link, fills it in, and sends it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.browser.visiting import expect

if TYPE_CHECKING:
    from playwright.async_api import Page


async def open_form(page: Page, link: str) -> None:
    """Follow the link of an action."""
    await page.get_by_role("link", name=link, exact=True).first.click()
    await page.wait_for_url("**/do/**")


async def send(page: Page, button: str, *accept: str, **typed: str) -> None:
    """Fill the form in by the labels of its fields, tick what is accepted, and press its button."""
    form = page.locator("form.order")
    for name, text in typed.items():
        await form.locator(f"[name={name}]").fill(text)
    for value in accept:
        await form.locator(f"[value={value}]").check()
    await form.get_by_role("button", name=button).click()


async def order(page: Page, link: str, button: str, *accept: str, **typed: str) -> None:
    """Order an action of the page, and return to the page."""
    at = page.url.partition("#")[0]
    await open_form(page, link)
    await send(page, button, *accept, **typed)
    await page.wait_for_url(f"{at}*")
    await expect(page.locator("h1")).to_be_visible()
