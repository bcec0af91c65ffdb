"""The application: which path leads where, and what every answer has in common."""

from __future__ import annotations

from functools import partial

from pymongo.errors import PyMongoError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Scope

from lazymig.errors import LazymigError
from lazymig.web.actions.routes import action_routes
from lazymig.web.data import report, samples, status
from lazymig.web.events import events
from lazymig.web.headers import SafeHeaders
from lazymig.web.page import page
from lazymig.web.paths import WholePaths, find_mount, paths_of
from lazymig.web.refusals import explain, refuse
from lazymig.web.rendering import render
from lazymig.web.room import Room


def build(room: Room) -> Starlette:
    """Return the application."""
    app = _Application(
        routes=[
            Route("/", partial(_index, room), name="index"),
            Route("/m/{migration}", partial(_complete, room)),
            Route("/m/{migration}/", partial(page, room), name="page"),
            Route("/m/{migration}/events", partial(events, room), name="events"),
            Route("/m/{migration}/status.json", partial(status, room), name="status"),
            Route("/m/{migration}/samples.json", partial(samples, room), name="samples"),
            Route("/m/{migration}/report.html", partial(report, room), name="report"),
            *action_routes(room),
            Mount("/static", _Files(packages=[("lazymig.web", "static")]), name="static"),
        ],
        exception_handlers={
            HTTPException: refuse, **dict.fromkeys((PyMongoError, LazymigError, Exception), partial(explain, room)),
        },
    )  # fmt: skip
    # A redirect to a path with a slash would name this server as it knows itself, which a proxy may not.
    app.router.redirect_slashes = False
    return app


class _Application(Starlette):
    """An application whose every answer is guarded, that of a failure of its own included."""

    def build_middleware_stack(self) -> ASGIApp:
        """Return what answers requests."""
        return WholePaths(SafeHeaders(super().build_middleware_stack()))


class _Files(StaticFiles):
    """The files of this package. A browser keeps them, and asks each time whether they have changed."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        """Return a file."""
        response = await super().get_response(path, scope)
        response.headers["Cache-Control"] = "no-cache"
        return response


async def _index(room: Room, request: Request) -> Response:
    """The migrations; where there is one only, its page."""
    pages = {name: paths_of(request, name) for name in room.names}
    if len(pages) == 1:
        return RedirectResponse(next(iter(pages.values())).page)
    return HTMLResponse(render("index.html", pages=pages, mount=find_mount(request)))


async def _complete(room: Room, request: Request) -> Response:
    """The page of a migration, where its address lacks the slash."""
    name = room.find(request.path_params["migration"]).migration.name
    return RedirectResponse(paths_of(request, name).page)
