"""A host application with pages mounted in it, served on a loopback port by this process, and started again at will."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.routing import Mount

#: A server that ends closes what is open at once, as a machine that is switched off does.
_OPTIONS: dict[str, Any] = {
    "log_level": "critical", "ws": "none", "lifespan": "off", "timeout_graceful_shutdown": 0,
}  # fmt: skip


class Host:
    """One server for all tests; each test mounts the page of its own migration below a path of its own."""

    def __init__(self) -> None:
        self.app = Starlette()
        self.port = 0  # any, and later the same
        self._running: tuple[uvicorn.Server, asyncio.Task[None]] | None = None
        self._mounted = 0

    @property
    def origin(self) -> str:
        """Its address, as a browser sends it."""
        return f"http://127.0.0.1:{self.port}"

    def mount(self, app: Any) -> str:
        """Mount an application, and return its address."""
        self._mounted += 1
        path = f"/team/{self._mounted}"
        self.app.router.routes.append(Mount(path, app))
        return self.origin + path

    def start(self) -> None:
        """Listen. A client that connects before the server runs is served then."""
        listening = socket.create_server(("127.0.0.1", self.port))
        self.port = listening.getsockname()[1]
        server = uvicorn.Server(uvicorn.Config(self.app, **_OPTIONS))
        task = asyncio.get_running_loop().create_task(server._serve([listening]))  # without its handlers of signals
        self._running = server, task

    async def stop(self) -> None:
        """End the server, with every connection that is open."""
        if self._running is not None:
            server, task = self._running
            server.should_exit = True
            await task
        self._running = None
