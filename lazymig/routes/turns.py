"""The turns of writes: those of one entity, in one process, queue up and share what they can."""

from __future__ import annotations

from functools import partial
from typing import Generic, TypeVar

from lazymig.loop.clock import Clock
from lazymig.loop.rounds import Rounds
from lazymig.protocol.edits import Change, ClientEdit
from lazymig.protocol.joining import Joined, Single, shares
from lazymig.routes.route import Route
from lazymig.stores.given import RawId

V1 = TypeVar("V1")
V2 = TypeVar("V2")


class Turns(Generic[V1, V2]):
    """Makes writes by a route, those of one entity in turns. Updates through one door that follow each other share one.

    All belong to calls that are in flight, so whatever waits for a phase's calls waits for them.
    """

    def __init__(self, clock: Clock) -> None:
        self._rounds: Rounds[ClientEdit, Change | None] = Rounds(Single, partial(Joined, clock=clock))

    async def write(self, route: Route[V1, V2], raw: RawId, edit: ClientEdit) -> Change | None:
        """Make one edit. Raises what `route.write` raises."""
        door = shares(edit)
        # Calls of two phases make different writes.
        kind = None if door is None else (id(route), door)
        # With its type: True is 1 to Python, and another id to MongoDB.
        return await self._rounds.call((raw.__class__, raw), kind, edit, partial(route.write, raw))
