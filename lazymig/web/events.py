"""The stream of server-sent events that keeps an open page up to date."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing

import anyio
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.requests import Request
from starlette.responses import Response

from lazymig.web.panels import Panels
from lazymig.web.paths import Paths, paths_of
from lazymig.web.pulse import Pulse
from lazymig.web.room import Room
from lazymig.web.view.charts import find_newest, make_data

#: Seconds between two comments that keep an idle connection open through proxies.
_KEEP_ALIVE_S = 15
#: Milliseconds after which a browser connects again.
_RETRY_MS = 2000
#: Seconds that a client may take to accept one event. One that is slower is cut off, and connects again.
_SEND_TIMEOUT_S = 30.0
#: Seconds in which a stream ends by itself once the server stops. After that it is cut off.
_GRACE_S = 2.0


async def events(room: Room, request: Request) -> Response:
    """Send all panels, and then each one that changes, and the samples that come.

    What the charts begin with is asked for by itself, once: it is as long as many looks together.
    A client that connects again gets all panels too: the page may have changed in between, so no `Last-Event-ID`
    matters.
    """
    name = request.path_params["migration"]
    pulse = room.pulse(name)
    # A first look that fails is an error page and no stream.
    await pulse.now()
    if request.method == "HEAD":
        return Response(media_type="text/event-stream")
    stopping = anyio.Event()
    stream = _each(pulse, room.panels(name), paths_of(request, room.find(name).migration.name), stopping)
    return EventSourceResponse(
        stream, ping=_KEEP_ALIVE_S, ping_message_factory=_keep_alive, send_timeout=_SEND_TIMEOUT_S, sep="\n",
        shutdown_event=stopping, shutdown_grace_period=_GRACE_S,
    )  # fmt: skip


async def _each(pulse: Pulse, panels: Panels, paths: Paths, stopping: anyio.Event) -> AsyncGenerator[ServerSentEvent]:
    """Yield what a page begins with and what changes, until the server stops: a stream that ends is not cut off."""
    ending = asyncio.get_running_loop().create_task(_end(pulse, stopping))
    try:
        async with aclosing(_list_changes(pulse, panels, paths)) as changes:
            async for event in changes:
                yield event
    finally:
        ending.cancel()


async def _end(pulse: Pulse, stopping: anyio.Event) -> None:
    await stopping.wait()
    pulse.end()


async def _list_changes(pulse: Pulse, panels: Panels, paths: Paths) -> AsyncGenerator[ServerSentEvent]:
    shown: Mapping[str, str] = {}
    newest: float | None = None
    yield ServerSentEvent(retry=_RETRY_MS, sep="\n")
    async with aclosing(pulse.watch()) as watched:
        async for snapshot in watched:
            rendered = panels.of(snapshot, paths)
            for panel, html in rendered.items():
                if shown.get(panel) != html:
                    yield ServerSentEvent(html, event=panel, sep="\n")
            shown = rendered
            last = find_newest(snapshot.samples)
            if newest is not None and last > newest:
                data = {"since": newest, **make_data(snapshot.samples, newest)}
                yield ServerSentEvent(json.dumps(data), event="samples", sep="\n")
            newest = last


def _keep_alive() -> ServerSentEvent:
    return ServerSentEvent(comment="", sep="\n")
