"""The walk of a call: down the floors of the house once, and back. Watched while it happens, not read from the text."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import lazymig
from lazymig import Criteria, Phase
from lazymig.testing import memory_repository
from tests.house import top
from tests.people import PersonV1, ada, people
from tests.test_house import FLOORS

HOME = Path(lazymig.__file__).parent
#: The modules of the way down that are not called by their package; what an edit decides sends nothing.
ON_THE_WAY = {
    **{f"routes.{phase}": "route" for phase in Phase},
    "protocol.births": "",
    "protocol.edits": "",
    "protocol.joining": "",
    "stores.mongo_v1": "store",
    "stores.mongo_v2": "store",
    "stores.v2_alone": "store",
}
#: Functions that a lower floor was given, and calls: the only ways up.
HANDED_DOWN = {
    ("loop", "stores"): "a batcher joins the statements of a store",
    ("loop", "protocol"): "a step that may run behind its caller",
    ("loop", "routes"): "the write of a call, in its turn among those of one entity",
}


def module_of(frame: FrameType | None) -> str | None:
    """The module of lazymig that a frame runs in; None for others, and for what is not on the way."""
    if frame is None:
        return None
    try:
        place = Path(frame.f_code.co_filename).relative_to(HOME)
    except ValueError:
        return None
    name = ".".join(place.with_suffix("").parts)
    return None if name.startswith("testing.") else name


class Walk:
    """The calls between modules of lazymig while it is entered, in their order."""

    def __init__(self) -> None:
        self.steps: list[tuple[str, str]] = []

    def __enter__(self) -> Walk:
        sys.setprofile(self._note)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)

    def _note(self, frame: FrameType, event: str, _: Any) -> None:
        here = module_of(frame)
        if event != "call" or here is None:
            return
        caller = frame.f_back
        while caller is not None and module_of(caller) is None:
            caller = caller.f_back
        above = module_of(caller)
        if above is not None and above != here:
            self.steps.append((above, here))

    @property
    def climbs(self) -> set[tuple[str, str]]:
        """Calls up or along the floors."""
        between = {(top(above), top(here)) for above, here in self.steps}
        return {(above, here) for above, here in between if above != here and FLOORS[here] >= FLOORS[above]}

    def first_met(self) -> list[str]:
        """The floors of the way down, in the order in which they were entered first.

        What decides on an edit or an id is no part of the way: it sends nothing.
        """
        places = (ON_THE_WAY.get(here, top(here)) for _, here in self.steps)
        return list(dict.fromkeys(place for place in places if place in ("route", "protocol", "store")))


async def listed(door: Any) -> list[Any]:
    """A whole listing."""
    return [one async for one in door.list(Criteria(v1={}, v2={}), sort="id")]


CALLS: dict[str, Callable[[Any], Awaitable[Any]]] = {
    "get": lambda repo: repo.get(1),
    "get, first read": lambda repo: repo.get(2),
    "get_many": lambda repo: repo.get_many([1, 2, 3]),
    "update": lambda repo: repo.update(1, lambda person: person),
    "insert": lambda repo: repo.insert(ada(9)),
    "delete": lambda repo: repo.delete(1),
    "list": listed,
    "v1.get": lambda repo: repo.v1.get(1),
    "v1.update": lambda repo: repo.v1.update(1, lambda person: person),
    "v1.list": lambda repo: listed(repo.v1),
}


@pytest.mark.parametrize("phase", list(Phase))
@pytest.mark.parametrize("call", CALLS)
async def test_a_call_goes_down_the_floors_once(call: str, phase: Phase) -> None:
    """Door, route, protocol, store: each is met after the one above it, and nothing climbs but what was handed down."""
    repo = memory_repository(people(), phase)
    for id in (1, 2, 3):
        await repo.v1.insert(PersonV1(id, "Ada Byron", 36))
    if phase in (Phase.SHADOW, Phase.COEXIST):
        await repo.collections.v2.delete_one({"_id": 2})
        await repo.get(1)
    with Walk() as walk:
        await CALLS[call](repo)
    assert walk.first_met() == ["route", "protocol", "store"]
    assert walk.climbs <= set(HANDED_DOWN)


async def test_every_listed_way_up_is_taken() -> None:
    """A way up that no call takes any more is taken off the list."""
    repo = memory_repository(people())
    await repo.v1.insert(PersonV1(1, "Ada Byron", 36))
    with Walk() as walk:
        await asyncio.gather(repo.get(1), repo.get(1))
        await repo.update(1, lambda person: person)
    assert walk.climbs == set(HANDED_DOWN)


def test_a_climb_is_seen() -> None:
    """A call from a store to the protocol would be found."""
    walk = Walk()
    walk.steps += [("protocol", "stores"), ("stores", "protocol")]
    assert walk.climbs == {("stores", "protocol")}
