"""One browser, one server and one host for the session; a migration, its page and its visitors for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from pymongo import AsyncMongoClient

from lazymig.web import beside
from tests.browser.chromium import find_browser
from tests.browser.serving import Host
from tests.browser.teams import Looks, Team
from tests.browser.visiting import Visitors
from tests.patience import be_patient


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A page that gives up no sooner on a slow machine, and looks again as soon, however long a look took."""
    be_patient(monkeypatch)
    monkeypatch.setattr(beside, "_REST", 0.0)


@pytest.fixture(scope="session")
def chromium() -> Path:
    """The browser's program. Without one the tests are skipped, and in CI they fail."""
    return find_browser().require()


@pytest.fixture(scope="session")
async def browser(chromium: Path) -> AsyncIterator[Any]:
    """The browser."""
    from playwright.async_api import async_playwright

    async with async_playwright() as playwright:
        # The sandbox needs rights that root does not have in containers; the pages are our own.
        browser = await playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield browser
        await browser.close()


@pytest.fixture(scope="session")
async def host(chromium: Path) -> AsyncIterator[Host]:
    """The host application, which listens."""
    host = Host()
    host.start()
    yield host
    await host.stop()


@pytest.fixture
async def visitors(browser: Any) -> AsyncIterator[Visitors]:
    """Opens tabs. Whatever goes wrong in one fails the test, unless the test provokes it."""
    visitors = Visitors(browser)
    yield visitors
    await visitors.leave()
    assert visitors.surprises == []


@pytest.fixture
async def team(host: Host, server_database: Any, lazymig_server: Any) -> AsyncIterator[Team]:
    """A team with a migration of its own, whose page is mounted in the host."""
    looks = Looks()
    client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(lazymig_server.uri, event_listeners=[looks])
    async with client, Team(host, lazymig_server.uri, client[server_database.name], looks) as team:
        yield team
