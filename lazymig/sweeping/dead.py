"""Letting dead letters go once their entities are well again, or are no more."""

from __future__ import annotations

from typing import TypeVar

from lazymig.control import Control
from lazymig.protocol import Pair

V1 = TypeVar("V1")
V2 = TypeVar("V2")


async def settle_dead(pair: Pair[V1, V2], control: Control, migration: str) -> int:
    """Remove the dead letters of entities that V2 holds by now or V1 no longer holds; how many these were."""
    well = [letter.id async for letter in control.dead_letters(migration) if await _is_well(pair, letter.id)]
    return await control.resolve(migration, well) if well else 0


async def _is_well(pair: Pair[V1, V2], id: object) -> bool:
    seen = await pair.v2.find(id)
    return (seen is not None and seen.clean) or await pair.v1.find(id) is None
