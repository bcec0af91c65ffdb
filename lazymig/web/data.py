"""What a program reads of a page: the status, and the samples of the charts."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from lazymig.status.json_text import as_json
from lazymig.status.objects import object_of
from lazymig.web.refusals import answer
from lazymig.web.room import Room


async def status(room: Room, request: Request) -> Response:
    """Answer with the object of `lazymig status --json`, which is never older than what the page shows."""
    snapshot = await room.pulse(request.path_params["migration"]).now()
    if snapshot.trouble:  # a program would take an old status for a new one
        return answer(request, 503, f"{snapshot.trouble}; the last look was {snapshot.age_s:.0f} s ago")
    return Response(as_json(object_of(snapshot.status)), media_type="application/json")
