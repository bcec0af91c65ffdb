"""What a browser gets where there is nothing to show: a page in words, or JSON for a program."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response

from lazymig.web.paths import find_mount
from lazymig.web.rendering import render
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


async def explain(request: Request, error: Exception) -> Response:
    """Answer a request for something that could not be looked up now."""
    words = describe_trouble(error)
    return answer(request, 503, f"{words[:1].upper()}{words[1:]}.", again_s=_AGAIN_S)


async def apologize(request: Request, error: Exception) -> Response:
    """Answer a request that failed by a mistake in this program or the application. The server logs the error."""
    return await explain(request, error)


def answer(
    request: Request, status: int, detail: str, *, again_s: int = 0, headers: Mapping[str, str] | None = None
) -> Response:
    """Return an error as a page, or as JSON where the address ends so."""
    given = dict(headers or {}) | ({"Retry-After": str(again_s)} if again_s else {})
    if request.url.path.endswith(".json"):
        return JSONResponse({"error": detail}, status, given)
    title = HTTPStatus(status).phrase
    page = render("error.html", title=title, detail=detail, again_s=again_s, mount=find_mount(request))
    return HTMLResponse(page, status, given)
