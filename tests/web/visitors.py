"""A person with a browser, as far as forms go: cookies, where a form comes from, and what it holds."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any
from urllib.parse import urlencode

import httpx
from attrs import define, field, frozen
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Mount

from lazymig.web.building import build
from lazymig.web.room import Room
from tests.fleets import until
from tests.markup import find_unnamed, find_unsafe, find_wrong

ORIGIN = "http://team.example"
#: Where the pages are mounted.
MOUNT = "/lazymig"
FORM = "application/x-www-form-urlencoded"


@define
class _Form(HTMLParser):
    """The form of a page that is sent by POST, and all that a person reads."""

    fields: list[tuple[str, str]] = field(factory=list)
    action: str = ""
    links: list[str] = field(factory=list)
    words: list[str] = field(factory=list)
    roles: dict[str, dict[str, str | None]] = field(factory=dict)
    _inside: bool = False

    def __attrs_post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if "role" in given:
            self.roles[str(given["role"])] = given
        match tag:
            case "form":
                self._inside = given.get("method") == "post"
                self.action = (given.get("action") or "") if self._inside else self.action
            case "input" if self._inside:
                if given.get("type") not in ("radio", "checkbox") or "checked" in given:
                    self.fields.append((given["name"] or "", given.get("value") or ""))
            case "a":
                self.links.append(given.get("href") or "")

    def handle_endtag(self, tag: str) -> None:
        self._inside = self._inside and tag != "form"

    def handle_data(self, data: str) -> None:
        self.words.append(data)


@frozen
class Page:
    """An answer, with its form as a browser reads it."""

    answer: httpx.Response
    fields: dict[str, list[str]]
    action: str
    links: tuple[str, ...]
    words: str
    roles: dict[str, dict[str, str | None]]

    @property
    def status(self) -> int:
        return self.answer.status_code

    @property
    def leads_to(self) -> str:
        return self.answer.headers.get("location", "")


def read(answer: httpx.Response) -> Page:
    """Read an answer as a browser does. Each page is well formed, and scripts and styles have no way in."""
    if answer.headers.get("content-type", "").startswith("text/html"):
        assert find_wrong(answer.text) + find_unsafe(answer.text) + find_unnamed(answer.text) == []
    parsed = _Form()
    parsed.feed(answer.text)
    fields: dict[str, list[str]] = {}
    for name, value in parsed.fields:
        fields.setdefault(name, []).append(value)
    words = " ".join(" ".join(parsed.words).split())
    return Page(answer, fields, parsed.action, tuple(parsed.links), words, parsed.roles)


class Visitor:
    """Opens pages, and fills in and sends their forms."""

    def __init__(self, app: Any, name: str = "things", origin: str = ORIGIN) -> None:
        transport = httpx.ASGITransport(app=app)
        self.client = httpx.AsyncClient(transport=transport, base_url=origin)
        self.origin = origin
        self.name = name
        self.app = app
        #: What the application's requests share.
        self.room = app.state.room
        self.base = f"{MOUNT}/m/{name}"

    def path(self, action: str) -> str:
        """Return the path of an action."""
        return f"{self.base}/do/{action}"

    async def get(self, path: str) -> Page:
        """Open a page."""
        return read(await self.client.get(path))

    async def open(self, action: str, **query: str) -> Page:
        """Open the form of an action."""
        return await self.get(self.path(action) + (f"?{urlencode(query)}" if query else ""))

    async def send(self, page: Page, **typed: str | list[str]) -> Page:
        """Send the form of a page, with what is typed."""
        filled = {**page.fields, **{name: [one] if isinstance(one, str) else one for name, one in typed.items()}}
        return await self.post(page.action, filled)

    async def post(self, path: str, fields: dict[str, list[str]], **headers: str) -> Page:
        """Send fields, with a browser's headers or others; an empty text leaves one out."""
        given = {"origin": self.origin, "sec-fetch-site": "same-origin", "content-type": FORM} | {
            name.replace("_", "-"): value for name, value in headers.items()
        }
        content = urlencode(fields, doseq=True)
        sent = {name: value for name, value in given.items() if value}
        return read(await self.client.post(path, content=content, headers=sent))

    async def order(self, action: str, query: dict[str, str] | None = None, **typed: str | list[str]) -> Page:
        """Open a form, fill it in, and send it."""
        page = await self.open(action, **(query or {}))
        assert page.action, page.words
        return await self.send(page, **typed)


async def done(visitor: Visitor, page: Page) -> None:
    """Check that an order was taken, and wait until it is done."""
    assert page.status == 303, page.words
    errands = visitor.room.errands

    async def is_idle() -> bool:
        return errands.find_busy(visitor.name) is None

    await until(is_idle)
    errand = errands.find(visitor.name)
    assert errand is None or errand.good, errand


@define
class Host:
    """A host application whose hook names the person in a header's place: the test says who it is."""

    shown: Any
    who: Any = "Ada"
    asked: list[tuple[str, str]] = field(factory=list)
    options: dict[str, Any] = field(factory=dict)
    rights: bool = True

    @property
    def app(self) -> Starlette:
        """The host application, with the pages below a path of their own."""
        given = {"soak_s": 0.0, "refresh_s": 0.01} | self.options
        hook = self.authorize if self.rights else None
        room = Room(self.shown, authorize=hook, max_age_s=86_400.0, **given)
        app = Starlette(routes=[Mount(MOUNT, build(room))])
        app.state.room = room
        return app

    def authorize(self, request: Request, action: str) -> Any:
        """The hook."""
        self.asked.append((request.method, action))
        return self.who() if callable(self.who) else self.who
