"""The page of one migration."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from lazymig.web.rendering import render
from lazymig.web.room import Room


async def page(room: Room, request: Request) -> Response:
    """Show a migration as it is now."""
    name = request.path_params["migration"]
    snapshot = await room.pulse(name).now()
    return HTMLResponse(render("page.html", request=request, snapshot=snapshot))
