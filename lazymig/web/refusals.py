"""What a browser gets where there is nothing to show: a page in words, or JSON for a program."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

from pymongo.errors import PyMongoError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response

from lazymig.errors import LazymigError, PhaseError
from lazymig.membership.registration import explain_unrecorded
from lazymig.web.paths import find_mount, paths_of
from lazymig.web.rendering import render
from lazymig.web.room import Room
from lazymig.web.trouble import describe_trouble

#: Seconds after which a page is opened again that could not be shown.
_AGAIN_S = 5
_DETAILS = {404: "There is nothing at this address.", 405: "This address does not take such a request."}


async def refuse(request: Request, error: Exception) -> Response:
    """Answer a request that is not right."""
    assert isinstance(error, HTTPException)
    detail = error.detail
    if detail == HTTPStatus(error.status_code).phrase:
        detail = _DETAILS.get(error.status_code, detail)
    return answer(request, error.status_code, detail, headers=error.headers)


async def explain(room: Room, request: Request, error: Exception) -> Response:
    """Answer a request for something that could not be looked up now."""
    words = describe_trouble(error).rstrip(".")
    detail = f"{words[:1].upper()}{words[1:]}."
    # Anything else is a mistake of this program or the application, and the server logs it.
    status = 503 if isinstance(error, (PyMongoError, LazymigError)) else 500
    return answer(request, status, detail, again_s=_AGAIN_S, begin=_find_beginning(room, request, error))


def _find_beginning(room: Room, request: Request, error: Exception) -> str:
    """Return where the first phase can be recorded, if that is what is missing and people may act."""
    if room.authorize is None or not isinstance(error, PhaseError):
        return ""
    name = room.find(request.path_params["migration"]).migration.name
    return paths_of(request, name).action("begin") if str(error) == explain_unrecorded(name) else ""


def answer(
    request: Request,
    status: int,
    detail: str,
    *,
    again_s: int = 0,
    begin: str = "",
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Return an error as a page, or as JSON where the address ends so."""
    given = dict(headers or {}) | ({"Retry-After": str(again_s)} if again_s else {})
    if request.url.path.endswith(".json"):
        return JSONResponse({"error": detail}, status, given)
    title = HTTPStatus(status).phrase
    page = render("error.html", title=title, detail=detail, again_s=again_s, begin=begin, mount=find_mount(request))
    return HTMLResponse(page, status, given)
