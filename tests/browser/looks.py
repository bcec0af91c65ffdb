"""What a visitor sees of a page: contrast, what sticks out, where the focus is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from playwright.async_api import Page

_SCRIPT = Path(__file__).with_name("looks.js").read_text("utf-8")


async def find_low_contrast(page: Page) -> list[str]:
    """Text that stands out from its background by less than WCAG's AA."""
    return await _ask(page, "lowContrast")


async def find_too_wide(page: Page) -> list[str]:
    """Parts that make the page scroll sideways."""
    return await _ask(page, "tooWide")


async def shows_focus(page: Page) -> bool:
    """Whether one sees which part has the focus."""
    return await _ask(page, "focusIsSeen")


async def _ask(page: Page, question: str) -> Any:
    return await page.evaluate(f"{_SCRIPT.strip()}.{question}()")
