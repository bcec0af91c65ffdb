"""Trying dead letters again, one by one, outside a sweep."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, TypeVar

from lazymig.control import Control
from lazymig.errors import Contention, ConversionError
from lazymig.protocol import heal
from lazymig.repository import Repository
from lazymig.sweeping.dead import settle_dead
from lazymig.sweeping.moving import Mover

V1 = TypeVar("V1")
V2 = TypeVar("V2")


async def retry_dead(repository: Repository[V1, V2], control: Control, ids: Sequence[Any]) -> int:
    """Move these entities if that is possible by now, and let the dead letters of the well ones go; how many went.

    An entity that fails again keeps its dead letter, with the new error and one attempt more.
    """
    pair = repository.pair
    mover = Mover(pair, control, Counter(), dry_run=False)
    for id in ids:
        truth = await pair.v1.find(id)
        if truth is None:
            continue  # no more: its letter goes
        if await pair.v2.find(id) is None:
            await mover.move([dict(truth.document)])
            continue
        try:
            await heal(pair, id)
        except Contention:
            continue  # somebody is writing it at this moment, and will mend it
        except ConversionError as error:
            await mover.record_failure(truth, error)
    return await settle_dead(pair, control, repository.migration.name)
