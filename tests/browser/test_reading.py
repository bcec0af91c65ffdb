"""The page as somebody reads it."""

from __future__ import annotations

from tests.browser.teams import Team
from tests.browser.visiting import Visitors, expect


async def test_the_only_migration_is_shown_at_once(team: Team, visitors: Visitors) -> None:
    """The address of the whole application leads to the page where there is one migration."""
    await team.begin()
    await team.fill(20)
    page = await visitors.open(team.home + "/")
    assert page.url == team.page
    await expect(page.locator("body")).to_contain_text("people")
    visitors.tolerate("favicon")
