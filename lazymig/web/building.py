"""The application: which path leads where."""

from __future__ import annotations

from functools import partial

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from lazymig.web.actions.routes import action_routes
from lazymig.web.page import page
from lazymig.web.rendering import render
from lazymig.web.room import Room


def build(room: Room) -> Starlette:
    """Return the application."""
    return Starlette(
        routes=[
            Route("/", partial(_index, room), name="index"),
            Route("/m/{migration}/", partial(page, room), name="page"),
            *action_routes(room),
            Mount("/static", StaticFiles(packages=[("lazymig.web", "static")]), name="static"),
        ]
    )


async def _index(room: Room, request: Request) -> Response:
    """The migrations; where there is one only, its page."""
    names = room.names
    if len(names) == 1:
        return RedirectResponse(request.url_for("page", migration=names[0]).path)
    return HTMLResponse(render("index.html", names=names, request=request))
