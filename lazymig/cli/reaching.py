"""Check that a server answers before the work begins. A wait is reported soon and is bounded."""

from __future__ import annotations

import asyncio

from lazymig.cli.output import remark
from lazymig.stores.clients import Client

#: How long a server may take to answer first, and when the wait is reported. A client's own server selection
#: time-out holds where it is shorter.
_PATIENCE_S, _REPORTED_AFTER_S = 10.0, 2.0


async def reach(client: Client, *, in_json: bool) -> None:
    """Wait until the server answers, and report the wait when it takes longer than two seconds."""
    patience_s = min(_PATIENCE_S, client.patience_s)
    asked = asyncio.ensure_future(client.ping(patience_s))
    try:
        await asyncio.wait({asked}, timeout=_REPORTED_AFTER_S)
        if not asked.done():
            servers = ", ".join(client.addresses)
            remark(f"waiting for the server {servers}, {patience_s:.0f} s at most", in_json=in_json)
        await asked
    finally:
        asked.cancel()
