"""How writers of one entity in several processes give way to each other. What is stored never depends on it."""

from __future__ import annotations

from typing import Final, TypeVar

from lazymig.protocol.in_place.place import Place
from lazymig.protocol.pair import Pair
from lazymig.stores.given import RawId
from lazymig.stores.records import StoredV1

V1 = TypeVar("V1")
V2 = TypeVar("V2")

#: Seconds between looks at V1 while others go first that announced earlier.
OLDER_WAITS_S: Final = (0.002, 0.004, 0.008, *(0.016,) * 12)


async def let_older_pass(pair: Pair[V1, V2], id: RawId, truth: StoredV1 | None, ticket: int) -> StoredV1 | None:
    """Return V1's document once those have written that announced before this writer.

    Where many write one entity, each process makes its writes together. They take long to decide, so they would lose
    again and again to what is decided faster. One that announced earlier may be dead: where V1 does not change for a
    moment, this writer goes on.
    """
    waits = iter(OLDER_WAITS_S)
    while truth is not None and truth.revision < ticket - 1 and (delay_s := next(waits, None)) is not None:
        await pair.clock.sleep(delay_s * (1 + pair.clock.random()) / 2)
        found = await pair.v1.find_local(id)
        if found is not None and found.revision != truth.revision:
            waits = iter(OLDER_WAITS_S)
        truth = found
    return truth


async def back_off(pair: Pair[V1, V2] | Place[V1, V2], attempt: int) -> None:
    """Wait a random time before the next attempt. The first two come at once: only a crowd must be spread.

    The more attempts have been lost, the shorter is the longest wait, so that who came early goes before who came late.
    """
    if attempt >= 2:
        left = 1 - attempt / pair.max_attempts
        await pair.clock.sleep(min(0.001 * 2 ** (attempt - 2), 0.05) * left * pair.clock.random())
