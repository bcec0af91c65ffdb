"""Trying dead letters again, outside a sweep."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, TypeVar

from lazymig.control import Control
from lazymig.repository import Repository
from lazymig.sweeping.dead import settle_dead
from lazymig.sweeping.moving import Mover

V1 = TypeVar("V1")
V2 = TypeVar("V2")


async def retry_dead(
    repository: Repository[V1, V2], control: Control, ids: Sequence[Any] = (), grace_s: float = 3600
) -> int:
    """Move these entities if that is possible by now, and let the dead letters of the well ones go; how many went.

    Without ids, all that need a person. An entity that fails again keeps its dead letter, with the new error and one
    attempt more.
    """
    mover = Mover(repository.pair, control, Counter(), dry_run=False)
    return await settle_dead(repository.pair, control, mover, timedelta(seconds=grace_s), ids=ids, insist=True)
