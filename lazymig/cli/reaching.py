"""Check that a server answers before the work begins. A wait is reported soon and is bounded."""

from __future__ import annotations

import asyncio
from typing import Any

import pymongo
from pymongo.errors import PyMongoError

from lazymig.cli.output import remark

#: How long a server may take to answer first, and when the wait is reported. A client's own server selection
#: time-out holds where it is shorter.
_PATIENCE_S, _REPORTED_AFTER_S = 10.0, 2.0


async def reach(client: Any, *, in_json: bool) -> None:
    """Wait until the server answers, and report the wait when it takes longer than two seconds."""
    patience_s = min(_PATIENCE_S, client.options.server_selection_timeout)
    asked = asyncio.ensure_future(_ping(client, patience_s))
    try:
        await asyncio.wait({asked}, timeout=_REPORTED_AFTER_S)
        if not asked.done():
            remark(f"waiting for the server {_address(client)}, {patience_s:.0f} s at most", in_json=in_json)
        await asked
    finally:
        asked.cancel()


async def _ping(client: Any, patience_s: float) -> None:
    # The driver's own time-out also ends the thread of a driver that uses threads.
    with pymongo.timeout(patience_s):
        await client.admin.command("ping")


def _address(client: Any) -> str:
    try:
        servers = client.topology_description.server_descriptions()
    except (AttributeError, PyMongoError):
        return ""
    return ", ".join(sorted(f"{host}:{port}" for host, port in servers))
