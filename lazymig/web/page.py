"""The page of one migration."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from lazymig.web.paths import paths_of
from lazymig.web.room import Room
from lazymig.web.view.page import render_page


async def page(room: Room, request: Request) -> Response:
    """Show a migration as it is now."""
    name = request.path_params["migration"]
    snapshot, paths = await room.pulse(name).now(), paths_of(request, room.find(name).migration.name)
    return HTMLResponse(render_page(snapshot, room.panels(name).of(snapshot, paths), paths))
