"""What the tests of the page share: an application in memory or on a server, and a client that knows its links."""

from __future__ import annotations

import re
from html import unescape
from typing import Any

from httpx import ASGITransport, AsyncClient, Response

from lazymig import Control, Phase, Repository, Switch
from lazymig.loop.clock import SYSTEM_CLOCK
from tests.sweeps import things

#: What every answer has, whatever it is about.
POLICY = "default-src 'none'; script-src 'self'"
_LINK = re.compile(r'(?:href|src|action|sse-connect|data-samples)="([^"]*)"')


def open_client(app: Any, **options: Any) -> AsyncClient:
    """A client of an application, without a network."""
    return AsyncClient(transport=ASGITransport(app, **options), base_url="http://team.example")


def follow(database: Any, **options: Any) -> tuple[Control, Repository[Any, Any]]:
    """A control collection and a repository that follows it."""
    control = Control(database["lazymig_control"], options.get("clock", SYSTEM_CLOCK))
    given = {"migration": things(), "v1": database["v1"], "v2": database["v2"]} | options
    return control, Repository(**given, phase=control)


async def begin(repository: Repository[Any, Any], phase: Phase = Phase.SHADOW) -> None:
    """Record the first phase."""
    await Switch(repository).begin(phase, by="a test", why="to begin")


def find_links(page: Response) -> set[str]:
    """Every address of this page's server that a page names."""
    found = {unescape(link) for link in _LINK.findall(page.text)}
    return {link for link in found if not link.startswith(("#", "data:"))}
