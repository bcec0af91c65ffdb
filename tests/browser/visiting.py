"""Visitors of the page: a browser's tab each, which notes whatever goes wrong in it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from attrs import Factory, define

if TYPE_CHECKING:
    from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Dialog, Locator, Page, Response

#: How long a page may take to show what is expected, on a loaded machine.
PATIENCE_MS = 60_000
PHONE = {"width": 360, "height": 740}
DESK = {"width": 1280, "height": 900}


def expect(found: Locator | Page) -> Any:
    """Return the assertions that wait until they hold."""
    from playwright.async_api import expect as waiting

    waiting.set_options(timeout=PATIENCE_MS)
    return waiting(found)


@define(eq=False, slots=False)  # the driver keeps something of its own on whatever has a handler
class Visitors:
    """Opens tabs, and knows what went wrong in any of them."""

    browser: Browser
    #: What went wrong: errors of scripts, violations of the page's policy, dialogs, answers that are no success.
    wrong: list[str] = Factory(list)
    _contexts: list[BrowserContext] = Factory(list)
    _tolerated: list[str] = Factory(list)

    async def open(self, address: str, **options: Any) -> Page:
        """Open a page in a tab of its own, and wait until it is there. `options` are those of the browser's context."""
        page = await self.prepare(**options)
        await page.goto(address)
        return page

    async def prepare(self, **options: Any) -> Page:
        """Return an empty tab."""
        context = await self.browser.new_context(**{"viewport": DESK, "reduced_motion": "reduce"} | options)
        context.set_default_timeout(PATIENCE_MS)
        self._contexts.append(context)
        # A violation of the policy is an error on the console; so is a script that could not be loaded.
        context.on("console", self._hear)
        context.on("weberror", lambda failed: self._note("script", str(failed.error)))
        context.on("dialog", self._refuse)
        context.on("response", self._look)
        return await context.new_page()

    def tolerate(self, pattern: str) -> None:
        """Expect this to go wrong: the test provokes it."""
        self._tolerated.append(pattern)

    async def leave(self) -> None:
        """Close all tabs."""
        for context in self._contexts:
            await context.close()
        self._contexts.clear()

    @property
    def surprises(self) -> list[str]:
        """What went wrong and was not provoked."""
        return [one for one in self.wrong if not any(re.search(pattern, one) for pattern in self._tolerated)]

    def _hear(self, said: ConsoleMessage) -> None:
        if said.type in {"error", "warning"}:
            self._note(said.type, f"{said.text} {said.location['url']}")

    async def _refuse(self, dialog: Dialog) -> None:
        self._note("dialog", dialog.message)
        await dialog.dismiss()

    def _look(self, response: Response) -> None:
        if response.status >= 400:
            self._note("answer", f"{response.status} {response.url}")

    def _note(self, kind: str, text: str) -> None:
        self.wrong.append(f"{kind}: {text}")


def share_of(page: Page) -> Locator:
    """Find the share that is migrated, as the page shows it."""
    return page.locator("#progress .figure strong")


def phase_of(page: Page) -> Locator:
    """Find the present phase, as the page shows it."""
    return page.locator("#phases [aria-current=step] .phase")


async def mark(page: Page) -> None:
    """Leave a mark that is gone once the page is loaded again."""
    await page.evaluate("window.marked = true")


async def was_loaded_once(page: Page) -> bool:
    """Whether the page was not loaded again since it was marked."""
    return bool(await page.evaluate("window.marked === true"))
