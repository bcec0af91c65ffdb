"""The page of one migration."""

from __future__ import annotations

from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from lazymig.web.paths import paths_of
from lazymig.web.rendering import render
from lazymig.web.room import Room


async def page(room: Room, request: Request) -> Response:
    """Show a migration as it is now."""
    name = request.path_params["migration"]
    snapshot, paths = await room.pulse(name).now(), paths_of(request, room.find(name).migration.name)
    panels = {panel: Markup(html) for panel, html in room.panels(name).of(snapshot, paths).items()}
    return HTMLResponse(render("page.html", snapshot=snapshot, paths=paths, panels=panels))
