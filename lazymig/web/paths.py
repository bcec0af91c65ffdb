"""Where the parts of a page are. Every link is made here, so that the application works wherever it is mounted."""

from __future__ import annotations

from urllib.parse import quote, unquote

from attrs import frozen
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send


def slug(name: str) -> str:
    """Return a migration's name as one part of a path: itself, where letters, digits, `-`, `_` and `.` make it up.

    Anything else is written as `~` and its code. A `%` would not do: servers decode it before they choose a route, and
    a name may hold a slash.
    """
    quoted = quote(name, safe="").replace("~", "%7E").replace("%", "~")
    # A browser takes these two for steps in a path.
    return quoted.replace(".", "~2E") if quoted in {".", ".."} else quoted


@frozen
class Paths:
    """The paths of one migration's page.

    Attributes:
        mount: Where the application is mounted: "" at the root of a server, or such as "/lazymig".
        name: The migration's name as a part of a path.
    """

    mount: str
    name: str

    @property
    def index(self) -> str:
        """The list of migrations."""
        return f"{self.mount}/"

    @property
    def page(self) -> str:
        """The page of this migration."""
        return f"{self.mount}/m/{self.name}/"

    @property
    def events(self) -> str:
        """The stream of what changes on the page."""
        return f"{self.page}events"

    @property
    def status(self) -> str:
        """The object of `lazymig status --json`."""
        return f"{self.page}status.json"

    @property
    def samples(self) -> str:
        """What the charts draw."""
        return f"{self.page}samples.json"

    @property
    def report(self) -> str:
        """The page as one file."""
        return f"{self.page}report.html"

    @property
    def dead_letters(self) -> str:
        """The list of dead letters."""
        return f"{self.page}dead-letters"

    def action(self, action: str) -> str:
        """Return where an action is offered and done; the list of dead letters is open to those who only read."""
        if action == "dead-letters":
            return self.dead_letters
        return f"{self.page}do/{quote(action, safe='')}"

    def static(self, file: str) -> str:
        """Return where a file of this package is, such as `lazymig.css`."""
        return f"{self.mount}/static/{file}"


def find_mount(request: Request) -> str:
    """Return where the application is mounted, as a path without a slash at its end."""
    path = quote(str(request.scope.get("root_path", "")).strip("/"))
    # One slash before it, whatever a proxy says: a browser takes what follows two of them for another host.
    return f"/{path}" if path else ""


def paths_of(request: Request, name: str) -> Paths:
    """Return the paths of a migration's page, as the sender of this request reaches them."""
    return Paths(find_mount(request), slug(name))


@frozen
class WholePaths:
    """An ASGI application that gets whole paths from whatever mounts it.

    ASGI leaves the path whole, and `root_path` says how much of it leads to the mount. Litestar cuts that part off and
    adds a slash at the end; the bytes that were sent still have all of it.
    """

    app: ASGIApp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        await self.app(restore_path(scope), receive, send)


def restore_path(scope: Scope) -> Scope:
    """Return the scope with its whole path, where the path was cut."""
    raw = scope.get("raw_path")
    if not isinstance(raw, bytes):
        return scope
    whole, cut = unquote(raw.decode("ascii", "replace")), str(scope["path"]).rstrip("/")
    if whole.rstrip("/") == cut or not whole.rstrip("/").endswith(cut):
        return scope
    mount = whole.rstrip("/").removesuffix(cut)
    return {**scope, "path": whole, "root_path": mount}
