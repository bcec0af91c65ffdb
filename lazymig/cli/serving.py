"""A server of the page: uvicorn on a port of this machine, which ends as soon as it is asked to."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import uvicorn
from starlette.types import ASGIApp

from lazymig.cli.failures import Unusable
from lazymig.cli.output import complain
from lazymig.cli.site import Site
from lazymig.status.looking import AnyRepository
from lazymig.web.building import build
from lazymig.web.hosts import LOOPBACK, OwnHosts, is_loopback
from lazymig.web.room import Room

#: Seconds for answers that are under way when the server ends. The streams have ended by then.
_GRACE_S = 2
_BACKLOG = 128


def make_serving(repositories: Sequence[AnyRepository], site: Site) -> Serving:
    """Return a server of the page of these migrations, which listens already.

    Raises `Unusable` where it cannot listen there.
    """
    room = Room(repositories, authorize=site.authorize, soak_s=site.soak_s, max_age_s=site.max_age_s, refresh_s=1.0)
    return Serving(room, _listen(site.host, site.port))


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except socket.gaierror:
        raise Unusable(f"--host {host}: no address of that name; pass one of this machine, such as 127.0.0.1") from None
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise Unusable(
                f"--port {port}: something else uses it at {host}; end that, or pass another one (0 takes any)"
            ) from None
        if error.errno == errno.EADDRNOTAVAIL:
            raise Unusable(f"--host {host}: this machine has no such address") from None
        if error.errno == errno.EACCES:
            raise Unusable(f"--port {port}: this user may not use it; pass one above 1023") from None
        raise
    except OverflowError:
        raise Unusable(f"--port {port}: pass a number from 0 to 65535") from None


class Serving:
    """The page at one address."""

    def __init__(self, room: Room, listener: socket.socket) -> None:
        self._room = room
        self._listener = listener
        # It logs nothing but errors: who opens the page is of no interest here.
        config = uvicorn.Config(
            self._guard(build(room)), log_level="error", access_log=False, lifespan="off", ws="none",
            timeout_graceful_shutdown=_GRACE_S, server_header=False,
        )  # fmt: skip
        self._server = _Server(config)

    @property
    def url(self) -> str:
        """The address of the page."""
        host, port = self._listener.getsockname()[:2]
        return f"http://{f'[{host}]' if ':' in host else host}:{port}/"

    @property
    def is_open(self) -> bool:
        """Whether other machines reach it."""
        return not is_loopback(self._listener.getsockname()[0])

    async def run(self) -> None:
        """Serve until `stop`, and let what people have ordered come to its end."""
        await self._server.serve(sockets=[self._listener])
        for errand in self._room.errands.under_way:
            complain(f"{errand.action} by {errand.by} is under way; press Ctrl-C again to stop it at once")
        await self._room.errands.wait()

    def stop(self) -> None:
        """End the streams and the server."""
        self._room.end()
        self._server.should_exit = True

    def _guard(self, app: ASGIApp) -> ASGIApp:
        own = self._listener.getsockname()[0]
        return app if self.is_open else OwnHosts(app, LOOPBACK | {own})


class _Server(uvicorn.Server):
    """A server that leaves the signals to the command."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
