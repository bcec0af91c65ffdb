"""What somebody outside sends, byte by byte, to a real server: nothing is changed, and no answer leads elsewhere."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlencode

import pytest
from attrs import frozen
from starlette.types import ASGIApp, Receive, Scope, Send

from lazymig import Repository
from lazymig.web.building import build
from tests.browser.serving import Host as Server
from tests.web.test_refusals import form_of, held
from tests.web.visitors import FORM, Host, Visitor

HOST = "team.example"


@frozen
class Answer:
    """An answer as it came over the wire."""

    status: int
    head: str
    body: str

    def find(self, header: str) -> list[str]:
        """Return a header's values."""
        return re.findall(rf"(?im)^{header}: (.*?)\r?$", self.head)


@frozen
class Wire:
    """A server of the page, and what is sent to it."""

    port: int
    base: str

    async def send(self, text: str) -> Answer:
        """Send these bytes, and read until the server closes the connection."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(text.encode("latin-1"))
            async with asyncio.timeout(60):
                answer = (await reader.read()).decode("utf-8", "replace")
        finally:
            writer.close()
            await writer.wait_closed()
        head, _, body = answer.partition("\r\n\r\n")
        return Answer(int(head.split()[1]), head, body)

    async def ask(self, method: str, path: str, body: str = "", version: str = "1.1", **headers: str) -> Answer:
        """Send one request; an empty header is left out, and `_` in a name stands for `-`."""
        given = {"host": HOST, "connection": "close", "content-length": str(len(body))}
        given |= {name.replace("_", "-"): value for name, value in headers.items()}
        lines = [f"{name}: {value}" for name, value in given.items() if value]
        return await self.send("\r\n".join([f"{method} {path} HTTP/{version}", *lines, "", body]))


@frozen
class Forwarded:
    """An application that believes a proxy's header about its prefix, as some hosts do."""

    app: ASGIApp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        prefix = dict(scope.get("headers", [])).get(b"x-forwarded-prefix", b"").decode()
        path = str(scope.get("path", ""))
        await self.app({**scope, "root_path": prefix, "path": prefix + path, "raw_path": None}, receive, send)


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    server = Server()
    server.start()
    yield server
    await server.stop()


@pytest.fixture
def wire(server: Server, visitor: Visitor) -> Wire:
    """The page of the migration, on a port."""
    address = server.mount(visitor.app)
    return Wire(server.port, address.removeprefix(server.origin) + visitor.base)


async def open_form(wire: Wire, visitor: Visitor, action: str = "pause") -> tuple[str, dict[str, str]]:
    """A form that would be taken: its body and the headers of a browser."""
    visitor.client.cookies.clear()
    _, filled = await form_of(visitor, action)
    cookie = "; ".join(f"{one.name}={one.value}" for one in visitor.client.cookies.jar)
    headers = {"cookie": cookie, "content_type": FORM, "origin": f"http://{HOST}", "sec_fetch_site": "same-origin"}
    return urlencode(filled, doseq=True), headers


async def test_the_page_itself_is_taken(dead: Repository[Any, Any], wire: Wire, visitor: Visitor) -> None:
    """The form that the other tests spoil is taken over the wire, and leads to the page where it is mounted."""
    body, headers = await open_form(wire, visitor)
    sent = await wire.ask("POST", f"{wire.base}/do/pause", body, **headers)
    assert (sent.status, sent.find("location")) == (303, [f"{wire.base}/#passes"])


SPOILT: dict[str, dict[str, str]] = {
    "no origin": {"origin": "", "sec_fetch_site": ""},
    "an opaque origin": {"origin": "null", "sec_fetch_site": ""},
    "another origin": {"origin": "https://evil.example", "sec_fetch_site": ""},
    "an origin with this host before it": {"origin": f"http://{HOST}.evil.example", "sec_fetch_site": ""},
    "another site": {"sec_fetch_site": "cross-site"},
    "another site that names this origin": {"sec_fetch_site": "cross-site, same-origin"},
    "another host": {"host": "evil.example", "sec_fetch_site": ""},
    "a proxy's word for the host": {"host": "evil.example", "x_forwarded_host": HOST, "sec_fetch_site": ""},
    "a proxy's word for the origin": {
        "origin": "http://evil.example",
        "forwarded": f"host={HOST}",
        "sec_fetch_site": "",
    },
    "no cookie": {"cookie": ""},
    "another cookie": {"cookie": "lazymig-form=" + "A" * 43},
    "the cookie of https": {"cookie": "__Host-lazymig-form=" + "A" * 43},
    "no type": {"content_type": ""},
    "a type of plain forms": {"content_type": "text/plain"},
    "a form of parts": {"content_type": "multipart/form-data; boundary=x"},
    "JSON": {"content_type": "application/json"},
    "a type that begins alike": {"content_type": FORM + "x"},
}


async def test_forged_requests_change_nothing(
    dead: Repository[Any, Any], server_database: Any, wire: Wire, visitor: Visitor
) -> None:
    """A form that another page sends, or that no browser sends so, is refused."""
    body, headers = await open_form(wire, visitor)
    before = await held(server_database)
    answers = {
        what: (await wire.ask("POST", f"{wire.base}/do/pause", body, **{**headers, **spoilt})).status
        for what, spoilt in SPOILT.items()
    }
    assert {what for what, status in answers.items() if status not in (403, 415)} == set()
    assert await held(server_database) == before


METHODS: dict[str, tuple[str, str, dict[str, str]]] = {
    "a link": ("GET", "?{body}", {}),
    "only the head": ("HEAD", "?{body}", {}),
    "another method by a header": ("GET", "", {"x_http_method_override": "POST", "x_method_override": "POST"}),
    "another method by a field": ("GET", "?_method=POST&{body}", {}),
    "PUT": ("PUT", "", {}),
    "DELETE": ("DELETE", "", {}),
    "a method in small letters": ("post", "", {}),
    "an unknown method": ("BREW", "", {}),
    "OPTIONS": ("OPTIONS", "", {"access_control_request_method": "POST"}),
}


async def test_other_methods_change_nothing(
    dead: Repository[Any, Any], server_database: Any, wire: Wire, visitor: Visitor
) -> None:
    """No method but POST acts, whatever headers and fields say; none grants other sites a right."""
    body, headers = await open_form(wire, visitor)
    before = await held(server_database)
    for what, (method, query, more) in METHODS.items():
        path = f"{wire.base}/do/pause{query.format(body=body)}"
        sent = await wire.ask(method, path, "" if method in ("GET", "HEAD") else body, **{**headers, **more})
        assert sent.status in (200, 400, 405), what
        assert not sent.find("access-control-allow-.*"), what
        assert method != "HEAD" or sent.body == ""
    assert await held(server_database) == before


BODIES: dict[str, tuple[str, int]] = {
    "more bytes than a form": ("why=" + "x" * 70_000, 413),
    "more fields than a form": ("&".join(["a=1"] * 300), 400),
    "bytes that are no text": ("why=%ff%fe", 400),
    "no fields": ("", 403),
    "a token twice": ("{body}&token=x", 403),
    "a form twice": ("{body}&form=x", 400),
    "a kind twice": ("{body}&kind=verify", 422),
    "what was seen twice": ("{body}&seen=x", 409),
}


async def test_odd_bodies_change_nothing(
    dead: Repository[Any, Any], server_database: Any, wire: Wire, visitor: Visitor
) -> None:
    """Bodies that are too large, unreadable, or say a thing twice are refused."""
    body, headers = await open_form(wire, visitor)
    before = await held(server_database)
    for what, (text, status) in BODIES.items():
        sent = await wire.ask("POST", f"{wire.base}/do/pause", text.format(body=body), **headers)
        assert sent.status == status, what
    assert await held(server_database) == before


async def test_a_body_that_is_announced_and_never_comes_is_given_up(
    dead: Repository[Any, Any], wire: Wire, visitor: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A form of which nothing comes is not waited for."""
    monkeypatch.setattr("lazymig.web.actions.guards._BODY_S", 0.1)
    body, headers = await open_form(wire, visitor)
    sent = await wire.ask("POST", f"{wire.base}/do/pause", body, **{**headers, "content_length": str(len(body) + 1)})
    assert sent.status == 408


@pytest.mark.parametrize("path", ["/", "/dead-letters", "/do/pause", "/status.json", "/nothing"])
async def test_old_clients_are_answered(dead: Repository[Any, Any], wire: Wire, path: str) -> None:
    """HTTP/1.0 without a host and HEAD get an answer, with the headers that guard it."""
    for method, version, host in (("GET", "1.0", ""), ("HEAD", "1.1", HOST), ("HEAD", "1.0", "")):
        sent = await wire.ask(method, wire.base + path, version=version, host=host)
        assert sent.status == (404 if path == "/nothing" else 200)
        assert sent.find("cache-control") == ["no-store"]
        assert sent.find("content-security-policy")


async def test_an_old_client_acts_only_by_a_form_of_this_page(
    dead: Repository[Any, Any], server_database: Any, wire: Wire, visitor: Visitor
) -> None:
    """A form by HTTP/1.0 that names no host is none of this page."""
    body, headers = await open_form(wire, visitor)
    before = await held(server_database)
    sent = await wire.ask("POST", f"{wire.base}/do/pause", body, "1.0", **{**headers, "host": "", "sec_fetch_site": ""})
    assert sent.status == 403
    assert await held(server_database) == before


@pytest.mark.parametrize(
    "prefix", ["/team", "/a b", "/\u00fc", "//evil.example", "///evil.example", "/\\evil.example", '/a"><b>', "/%2f"]
)
async def test_a_prefix_leads_nowhere_else(dead: Repository[Any, Any], server: Server, host: Host, prefix: str) -> None:
    """Whatever a proxy says of its prefix, links and redirects stay at this server, and it is escaped."""
    address = server.mount(Forwarded(build(Visitor(host.app).room))).removeprefix(server.origin)
    wire = Wire(server.port, address)
    for path in ("/", "/m/things", "/m/things/", "/m/things/do/pause", "/nothing"):
        sent = await wire.ask("GET", address + path, x_forwarded_prefix=prefix)
        links = sent.find("location") + re.findall(r"(?:href|action|src)=\"([^\"#][^\"]*)\"", sent.body)
        assert not [link for link in links if re.match(r"[/\\]{2}|[a-z]+:", link)], links
        assert "<b>" not in sent.body


NAMES = (
    "<script>alert(1)</script>", "Ada\r\nSet-Cookie: x=1", "'\"><img src=x>", "x" * 100_000, "a" + "\u0301" * 9999,
)  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
async def test_a_name_is_no_header_and_no_element(
    dead: Repository[Any, Any], wire: Wire, visitor: Visitor, host: Host, name: str
) -> None:
    """What the hook gives as a name stands escaped on the page, or is refused; it never becomes a header."""
    host.who = name
    shown = await wire.ask("GET", f"{wire.base}/do/pause")
    assert shown.status in (200, 403)
    assert not [one for one in shown.find("set-cookie") if not one.startswith("lazymig-form=")]
    assert "<script>alert" not in shown.body
    assert "<img" not in shown.body
    if shown.status == 200:
        visitor.client.cookies.clear()
        await visitor.order("pause", kind="sweep", why=name if name.isprintable() and len(name) < 500 else "x")
        page = await wire.ask("GET", f"{wire.base}/")
        assert ("<script>alert" in page.body, "<img" in page.body) == (False, False)


ODD = (
    "/m/..%2f..%2fthings/", "/m/%00/", "/m/~22/", "/m/%2e%2e/", "/static/..%2fpage.py", "/static/%2e%2e/%2e%2e/page.py",
    "/m/things/do/..%2fpause", "//m/things/", "/m/things/do/pause%00", "/m/x%0dSet-Cookie:x=1/",
)  # fmt: skip


@pytest.mark.parametrize("path", ODD)
async def test_odd_addresses_are_not_there(dead: Repository[Any, Any], wire: Wire, path: str) -> None:
    """An address that climbs, breaks lines or ends early is a 404, in words, with the headers of every answer."""
    sent = await wire.ask("GET", wire.base.removesuffix("/m/things") + path)
    assert (sent.status, sent.find("set-cookie"), sent.find("location")) == (404, [], [])
    assert sent.find("content-security-policy")
