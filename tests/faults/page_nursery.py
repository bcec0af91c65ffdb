"""A process whose children serve the page and are sent one form each, for tests that kill them at its statements.

A line is "0 URI DATABASE ACTION NUMBER WHEN": the child kills itself by `SIGKILL` at this statement of the order, from
1, "before" it is sent or "after" the server has answered. With 0 it is not killed.
"""

from __future__ import annotations

import os
import signal
from typing import Any

from attrs import define
from pymongo import AsyncMongoClient
from pymongo.monitoring import CommandListener

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


@define(eq=False)
class Killer(CommandListener):
    """Ends this process at one statement."""

    number: int
    when: str
    armed: bool = False
    sent: int = 0

    def started(self, event: Any) -> None:
        if self.armed:
            self.sent += 1
            self._end("before")

    def succeeded(self, event: Any) -> None:
        if self.armed:
            self._end("after")

    def failed(self, event: Any) -> None:
        """Whatever the server says."""

    def _end(self, when: str) -> None:
        if (self.sent, when) == (self.number, self.when):
            os.kill(os.getpid(), signal.SIGKILL)


async def order(uri: str, name: str, action: str, number: str, when: str) -> None:
    """Open a form, fill it in, and send it."""

    async def look_no_more(room: Room, migration: str) -> None:
        """Only the order's own statements count."""

    Room.renew = look_no_more  # type: ignore[method-assign]
    doing._REPORT_S = 0.05  # type: ignore[misc]
    killer = Killer(int(number), when)
    async with AsyncMongoClient(uri, event_listeners=[killer]) as client:
        visitor = Visitor(Host(followed(client[name])).app)
        query, typed = ORDERS[action]
        page = await visitor.open(action, **query)
        killer.armed = True
        await done(visitor, await visitor.send(page, **typed))


if __name__ == "__main__":
    serve(order)
