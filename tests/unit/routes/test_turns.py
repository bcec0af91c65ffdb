"""Which writes of one entity share a turn."""

from __future__ import annotations

import asyncio
from typing import Any

from lazymig.loop.clock import SYSTEM_CLOCK
from lazymig.protocol.edits import Delete, UpdateV1, UpdateV2
from lazymig.protocol.joining import Joined
from lazymig.routes.turns import Turns


class Route:
    """A route whose writes take some turns of the event loop, and are counted."""

    def __init__(self) -> None:
        self.writes: list[tuple[Any, type]] = []

    async def write(self, raw: Any, edit: Any) -> None:
        self.writes.append((raw, type(edit).__name__))
        if isinstance(edit, Joined):
            edit._outcomes = ["done"] * len(edit._members)  # as if each had been decided
        for _ in range(3):
            await asyncio.sleep(0)


async def writes_of(*asked: tuple[Route, Any, Any]) -> None:
    turns: Turns[Any, Any] = Turns(SYSTEM_CLOCK)
    await asyncio.gather(*(turns.write(route, raw, edit) for route, raw, edit in asked))  # type: ignore[arg-type]


def update(kind: Any) -> Any:
    return kind(None, lambda entity: entity)


async def test_updates_through_one_door_share() -> None:
    """Not those of both doors, and no delete."""
    route = Route()
    edits = [Delete(), update(UpdateV2), update(UpdateV2), update(UpdateV1), update(UpdateV1), Delete(), Delete()]
    await writes_of(*((route, 1, edit) for edit in edits))
    assert [kind for _, kind in route.writes] == ["Single", "Joined", "Joined", "Single", "Single"]


async def test_updates_of_two_phases_do_not_share() -> None:
    """Each phase makes other writes: one call may have begun before a phase did, and the next one after it."""
    before, after = Route(), Route()
    await writes_of(*((route, 1, update(UpdateV2)) for route in (before, before, before, after, after)))
    assert [kind for _, kind in before.writes] == ["Single", "Joined"]
    assert [kind for _, kind in after.writes] == ["Joined"]


async def test_ids_that_only_python_takes_for_equal_do_not_share() -> None:
    """To MongoDB, True is another id than 1."""
    route = Route()
    await writes_of(*((route, id, update(UpdateV2)) for id in (1, True, 1, True)))
    assert route.writes == [(1, "Single"), (True, "Single"), (1, "Single"), (True, "Single")]
    assert [type(id) for id, _ in route.writes] == [int, bool, int, bool]
