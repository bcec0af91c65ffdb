"""Each guard alone: what it lets through, and what it refuses."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import pytest
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from lazymig.web.actions.given import BODY_MAX, FIELDS_MAX, Given
from lazymig.web.actions.guards import (
    TOKEN_FIELD,
    check_sender,
    check_token,
    find_name,
    find_token,
    keep_token,
    make_token,
    read_form,
)

FORM = "application/x-www-form-urlencoded"


def request(headers: Mapping[str, str], body: bytes = b"", *, scheme: str = "http", size: int = 1000) -> Request:
    """A request as a server hands it on, with its body in pieces."""
    given = {"host": "team.example", **headers}
    scope = {
        "type": "http", "method": "POST", "scheme": scheme, "path": "/", "query_string": b"", "server": ("x", 80),
        "headers": [(name.lower().encode(), value.encode()) for name, value in given.items()],
    }  # fmt: skip
    parts = [body[start : start + size] for start in range(0, len(body), size)] or [b""]
    messages = [{"type": "http.request", "body": part, "more_body": part is not parts[-1]} for part in parts]

    async def receive() -> Any:
        return messages.pop(0)

    return Request(scope, receive)


def refusal(caught: pytest.ExceptionInfo[HTTPException]) -> int:
    return caught.value.status_code


@pytest.mark.parametrize(
    ("headers", "scheme"),
    [
        ({"sec-fetch-site": "same-origin"}, "http"),
        ({"sec-fetch-site": "same-origin", "origin": "https://seen-by-the-proxy.example"}, "http"),
        ({"origin": "http://team.example"}, "http"),
        ({"origin": "http://team.example:80"}, "http"),
        ({"origin": "https://team.example"}, "http"),  # a proxy ends https
        ({"origin": "https://team.example"}, "https"),
        ({"origin": "http://TEAM.example:8800", "host": "team.example:8800"}, "http"),
    ],
)
def test_the_page_itself_may_send(headers: dict[str, str], scheme: str) -> None:
    """A form of this server passes, whether the browser says so itself or names its origin."""
    check_sender(request(headers, scheme=scheme))


@pytest.mark.parametrize(
    ("headers", "scheme"),
    [
        ({}, "http"),
        ({"sec-fetch-site": "cross-site"}, "http"),
        ({"sec-fetch-site": "same-site"}, "http"),
        ({"sec-fetch-site": "none"}, "http"),
        ({"sec-fetch-site": ""}, "http"),
        ({"sec-fetch-site": "cross-site", "origin": "http://team.example"}, "http"),
        ({"origin": "http://evil.example"}, "http"),
        ({"origin": "http://team.example.evil.example"}, "http"),
        ({"origin": "http://evil.example/team.example"}, "http"),
        ({"origin": "http://team.example@evil.example"}, "http"),
        ({"origin": "http://team.example:8801"}, "http"),
        ({"origin": "http://team.example:notaport"}, "http"),
        ({"origin": "http://team.example"}, "https"),
        ({"origin": "ftp://team.example"}, "http"),
        ({"origin": "null"}, "http"),
        ({"origin": ""}, "http"),
        ({"origin": "http://[team.example"}, "http"),
    ],
)
def test_others_may_not_send(headers: dict[str, str], scheme: str) -> None:
    """A form of another site, another port or a weaker scheme is refused, and so is one that says nothing."""
    with pytest.raises(HTTPException) as caught:
        check_sender(request(headers, scheme=scheme))
    assert refusal(caught) == 403
    assert ("does not say" in caught.value.detail) == (not headers)


def kept(scheme: str) -> tuple[str, str, str]:
    """The cookie that a browser keeps: its name, its value, and all that was sent."""
    asked, response = request({}, scheme=scheme), Response()
    keep_token(asked, response, find_token(asked))
    sent = response.headers["set-cookie"]
    name, _, rest = sent.partition("=")
    return name, rest.partition(";")[0], sent


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_the_token_is_out_of_reach(scheme: str) -> None:
    """The cookie is for this host's own requests and for no script; with https it never travels without."""
    name, token, sent = kept(scheme)
    parts = {part.strip().lower() for part in sent.split(";")[1:]}
    assert {"httponly", "samesite=strict", "path=/"} <= parts
    assert not any(part.startswith("domain") for part in parts)
    assert ("secure" in parts, name.startswith("__Host-")) == (scheme == "https", scheme == "https")
    again = request({"cookie": f"{name}={token}"}, scheme=scheme)
    assert find_token(again) == token
    check_token(again, Given({TOKEN_FIELD: (token,)}))


def test_tokens_differ() -> None:
    """No two browsers get one token, and one that cannot be right is replaced."""
    assert len({make_token() for _ in range(100)}) == 100
    assert find_token(request({"cookie": "lazymig-form=short"})) != "short"


TOKEN = "t" * 43


@pytest.mark.parametrize(
    ("cookie", "sent"),
    [
        ("", (TOKEN,)),
        (TOKEN, ()),
        (TOKEN, ("",)),
        ("", ("",)),
        ("short", ("short",)),
        (TOKEN, ("u" * 43,)),
        (TOKEN, (TOKEN[:-1],)),
        (TOKEN, (f"{TOKEN}t",)),
        (TOKEN, (TOKEN, TOKEN)),
        (TOKEN, ("ü" * 43,)),
    ],
)
def test_another_token_is_refused(cookie: str, sent: tuple[str, ...]) -> None:
    """Without the token of this browser's cookie a form is refused, also where both are empty or made up."""
    asked = request({"cookie": f"lazymig-form={cookie}"} if cookie else {})
    with pytest.raises(HTTPException) as caught:
        check_token(asked, Given({TOKEN_FIELD: sent}))
    assert refusal(caught) == 403


def test_a_cookie_of_http_is_none_of_https() -> None:
    """With https the cookie must have the prefix that no other host can set."""
    with pytest.raises(HTTPException):
        check_token(request({"cookie": f"lazymig-form={TOKEN}"}, scheme="https"), Given({TOKEN_FIELD: (TOKEN,)}))


async def test_a_form_is_read_once_and_can_be_read_again() -> None:
    """Fields come as they were sent, several times where they were; the hook can read the body again."""
    body = b"why=caf%C3%A9+%3Cb%3E&accept=soak&accept=seal&empty="
    given, again = await read_form(request({"content-type": f"{FORM}; charset=utf-8"}, body, size=7))
    assert given.fields == {"why": ("café <b>",), "accept": ("soak", "seal"), "empty": ("",)}
    assert (given.one("why"), given.one("accept"), given.every("accept")) == ("café <b>", "", ("soak", "seal"))
    assert await again.body() == body


@pytest.mark.parametrize(
    ("kind", "body", "status"),
    [
        ("application/json", b"{}", 415),
        ("multipart/form-data; boundary=x", b"", 415),
        ("text/plain", b"a=b", 415),
        ("", b"a=b", 415),
        (FORM, b"a=" + b"x" * BODY_MAX, 413),
        (FORM, b"&".join(b"a=1" for _ in range(FIELDS_MAX + 1)), 400),
        (FORM, b"a=%ff", 400),
        (FORM, b"a=\xff", 400),
    ],
)
async def test_what_is_no_form_is_refused(kind: str, body: bytes, status: int) -> None:
    """Another type, too many bytes, too many fields and text that is none are refused."""
    with pytest.raises(HTTPException) as caught:
        await read_form(request({"content-type": kind} if kind else {}, body))
    assert refusal(caught) == status


async def test_a_form_that_breaks_off_is_refused() -> None:
    """A browser that goes away while it sends a form is no failure of the service."""
    asked = request({"content-type": FORM})

    async def receive() -> Any:
        return {"type": "http.disconnect"}

    with pytest.raises(HTTPException) as caught:
        await read_form(Request(asked.scope, receive))
    assert refusal(caught) == 400


async def test_the_hook_says_who_it_is() -> None:
    """The name of a hook is kept without spaces around it, whether the hook is async or not; it gets the action."""
    asked = request({})

    async def later(given: Request, action: str) -> str:
        assert given is asked
        return f" Ada at {action} "

    assert await find_name(later, asked, "advance") == "Ada at advance"
    assert await find_name(lambda given, action: "x" * 300, asked, "advance") == "x" * 200


async def test_without_a_hook_there_is_nothing() -> None:
    """Where the application passes no hook, an action is not there at all."""
    with pytest.raises(HTTPException) as caught:
        await find_name(None, request({}), "advance")
    assert refusal(caught) == 404


@pytest.mark.parametrize("name", [None, "", "  ", "a\nb", "a\x1b[31m", 5, True])
async def test_no_name_is_no_right(name: Any) -> None:
    """A hook that returns None, nothing, or what is no name refuses."""
    with pytest.raises(HTTPException) as caught:
        await find_name(lambda given, action: name, request({}), "advance")
    assert refusal(caught) == 403


@pytest.mark.parametrize("error", [ValueError("secret of the host"), HTTPException(200, "ok")])
async def test_a_hook_that_fails_refuses_and_is_logged(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    """What a hook raises refuses the action, stands in the log, and is not shown."""

    def fail(given: Request, action: str) -> str:
        raise error

    with caplog.at_level(logging.ERROR, "lazymig.web"), pytest.raises(HTTPException) as caught:
        await find_name(fail, request({}), "advance")
    assert refusal(caught) == 403
    assert "secret" not in caught.value.detail
    assert [record.exc_info[1] for record in caplog.records if record.exc_info] == [error]
