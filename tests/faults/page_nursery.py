"""A process whose children serve the page and are sent one form each, for tests that kill them.

A line is "NUMBER URI DATABASE ACTION"; `tests.faults.sweep_nursery` says what the number means.
"""

from __future__ import annotations

from typing import Any

from pymongo import AsyncMongoClient

from lazymig.web.actions import doing
from lazymig.web.room import Room
from tests.faults.sweep_nursery import serve
from tests.switches import followed
from tests.web.visitors import Host, Visitor, done

#: What each form is about, and what is typed in it.
ORDERS: dict[str, tuple[dict[str, str], dict[str, Any]]] = {
    "pause": ({}, {"kind": "sweep", "why": "a test"}),
    "resume": ({}, {"kind": "sweep"}),
    "rate": ({}, {"kind": "sweep", "rate": "5"}),
    "waive": ({"id": "int:5"}, {"why": "a test"}),
    "retry": ({"id": "int:5"}, {}),
    "rollback": ({}, {"why": "a test"}),
    "advance": ({}, {"why": "a test", "confirm": "things", "accept": ["outside-writes"]}),
}


async def order(uri: str, name: str, action: str) -> None:
    """Open a form, fill it in, and send it."""

    async def look_no_more(room: Room, migration: str) -> None:
        """Send nothing once the order is carried out."""

    Room.renew = look_no_more  # type: ignore[method-assign]
    doing._REPORT_S = 0.05  # type: ignore[misc]
    async with AsyncMongoClient(uri) as client:
        visitor = Visitor(Host(followed(client[name])).app)
        query, typed = ORDERS[action]
        await done(visitor, await visitor.order(action, query, **typed))


if __name__ == "__main__":
    serve(order)
