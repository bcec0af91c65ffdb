"""Who may change something: the application's hook, a form that this page made, and a browser that is on this page.

Each guard stands alone. Nothing is kept between requests, so that any number of processes may serve one page.
"""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
from typing import Final
from urllib.parse import urlsplit

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Message

from lazymig.web.actions.given import BODY_MAX, Given, parse_form
from lazymig.web.actions.hook import Authorize, TooLate, ask

_LOGGER: Final = logging.getLogger("lazymig.web")
_FORM: Final = "application/x-www-form-urlencoded"
_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]{43}")
#: The field and the cookie that must agree.
TOKEN_FIELD: Final = "token"
_PORTS: Final = {"http": 80, "https": 443}
#: Seconds for a form to come as a whole.
_BODY_S: Final = 10.0
#: How long the name may be that the history keeps.
_NAME_MAX: Final = 200


def make_token() -> str:
    """Return a text that nobody can guess. From the system's source and not from the clock's, which tests foresee."""
    return secrets.token_urlsafe(32)


def name_cookie(request: Request) -> str:
    """Return the cookie's name. With https it has the prefix by which a browser takes it from this host alone."""
    return "__Host-lazymig-form" if request.url.scheme == "https" else "lazymig-form"


def find_token(request: Request) -> str:
    """Return the token of this browser: the one of its cookie, or a new one."""
    token = request.cookies.get(name_cookie(request), "")
    return token if _TOKEN.fullmatch(token) else make_token()


def keep_token(request: Request, response: Response, token: str) -> None:
    """Let the browser keep its token, out of reach of scripts and of requests that other sites make."""
    response.set_cookie(
        name_cookie(request), token, path="/", httponly=True, samesite="strict", secure=request.url.scheme == "https"
    )


async def read_form(request: Request) -> tuple[Given, Request]:
    """Return the form of a request, and the request with a body that can be read again.

    Raises `HTTPException` for what is no form of this page.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != _FORM:
        raise HTTPException(415, f"Send the form of this page: {_FORM}.")
    try:
        async with asyncio.timeout(_BODY_S):
            body = await _read_body(request)
    except TimeoutError:
        raise HTTPException(408, "The form has not come in time. Nothing was done.") from None
    except ClientDisconnect:
        raise HTTPException(400, "The form has not come as a whole. Nothing was done.") from None
    try:
        given = parse_form(body.decode())
    except ValueError:  # also of the decoding
        raise HTTPException(400, "The form cannot be read.") from None

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    return given, Request(request.scope, receive)


async def _read_body(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > BODY_MAX:
            raise HTTPException(413, f"The form is longer than {BODY_MAX:,} bytes.")
    return bytes(body)


def check_sender(request: Request) -> None:
    """Raise a 403 unless the browser says that a page of this server sends the form.

    `Sec-Fetch-Site` decides where a browser sends it, over https and to this machine: no page can forge it, and no
    proxy changes what it is about. Elsewhere the form's origin must be the host that is asked.
    """
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    if site is None and origin is None:
        raise HTTPException(403, "The request does not say which page sends it (Sec-Fetch-Site, Origin).")
    if site != "same-origin" if site is not None else not _is_here(request, origin or ""):
        raise HTTPException(403, "Another site has sent this form. Open the page, and use its own form.")


def _is_here(request: Request, origin: str) -> bool:
    """Whether an origin is this server's. Where a proxy ends https, the server itself sees http."""
    try:
        sender, here = urlsplit(origin), urlsplit(f"{request.url.scheme}://{request.headers.get('host', '')}")
        sender_port, here_port = sender.port or _PORTS.get(sender.scheme), here.port or _PORTS.get(sender.scheme)
    except ValueError:
        return False
    schemes = (here.scheme, "https") if here.scheme == "http" else (here.scheme,)
    return sender.scheme in schemes and (sender.hostname, sender_port) == (here.hostname, here_port)


def check_token(request: Request, given: Given) -> None:
    """Raise a 403 unless the form holds the token that this browser keeps."""
    kept, sent = request.cookies.get(name_cookie(request), ""), given.one(TOKEN_FIELD)
    if not (_TOKEN.fullmatch(kept) and secrets.compare_digest(kept.encode(), sent.encode())):
        raise HTTPException(
            403, "The form is not one that this browser was given, or its cookie is gone. Open the form again."
        )


async def find_name(authorize: Authorize | None, request: Request, action: str) -> str:
    """Return the name under which the history keeps what this request does. Raises an `HTTPException` otherwise."""
    if authorize is None:
        raise HTTPException(404, "This page only reads: the application passes no authorize to lazymig.web.app.")
    try:
        name = await ask(authorize, request, action)
    except TooLate:
        raise HTTPException(
            503, "The application has not said in time whether you may do this. Nothing was done."
        ) from None
    except Exception:
        _LOGGER.exception("authorize failed for %s, which is refused", action)
        raise HTTPException(403, "The application could not say whether you may do this.") from None
    if name is None:
        raise HTTPException(403, "The application does not let you do this.")
    # As a plain text: a subclass may say of itself that it is HTML, which nobody would escape then.
    name = str.__str__(name) if isinstance(name, str) else name
    if not isinstance(name, str) or not name.strip() or not name.isprintable():
        _LOGGER.error("authorize returned no name for %s, which is refused: return a text, or None", action)
        raise HTTPException(403, "The application gave no name for the history.")
    return name.strip()[:_NAME_MAX]
