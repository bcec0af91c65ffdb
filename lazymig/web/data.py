"""What a program reads of a page, and the page as one file. All of it comes from the looks that the page shares."""

from __future__ import annotations

import json
import math
from datetime import datetime

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from lazymig.status.json_text import as_json
from lazymig.status.objects import object_of
from lazymig.web.headers import REPORT_POLICY
from lazymig.web.paths import slug
from lazymig.web.refusals import answer
from lazymig.web.report import make_report
from lazymig.web.room import Room
from lazymig.web.view.charts import make_data


async def status(room: Room, request: Request) -> Response:
    """Answer with the object of `lazymig status --json`, or with a 503 where it would be an old one."""
    snapshot = await room.pulse(request.path_params["migration"]).now()
    if snapshot.trouble:  # a program would take an old status for a new one
        return answer(request, 503, f"{snapshot.trouble}; the last look was {snapshot.age_s:.0f} s ago")
    return Response(as_json(object_of(snapshot.status)), media_type="application/json")


async def samples(room: Room, request: Request) -> Response:
    """Answer with what the charts draw: all of it, or what came after `since`, in seconds since 1970."""
    since = _read_since(request.query_params.get("since", ""))
    snapshot = await room.pulse(request.path_params["migration"]).now()
    return Response(json.dumps(make_data(snapshot.samples, since)), media_type="application/json")


async def report(room: Room, request: Request) -> Response:
    """Answer with the page as one file, which a browser keeps."""
    snapshot = await room.pulse(request.path_params["migration"]).now()
    at: datetime = snapshot.status.at
    file = f"lazymig-{slug(snapshot.status.migration)}-{at:%Y-%m-%d-%H%M}.html"
    headers = {"Content-Disposition": f'attachment; filename="{file}"', "Content-Security-Policy": REPORT_POLICY}
    return HTMLResponse(make_report(snapshot), headers=headers)


def _read_since(text: str) -> float | None:
    if not text:
        return None
    try:
        since = float(text)
    except ValueError:
        since = math.nan
    if not math.isfinite(since):
        raise HTTPException(400, "since: pass seconds since 1970, such as 1790000000.")
    return since
