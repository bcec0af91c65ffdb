"""Trying dead letters again outside of a sweep."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from typing import TypeVar

from lazymig.control import Control
from lazymig.repository import Repository, calls_of
from lazymig.routes.shifts import Shift
from lazymig.routes.stages import check_fills_v2
from lazymig.stores.given import RawId
from lazymig.sweeping.dead_letters import review_letters
from lazymig.sweeping.layouts import open_review

V1 = TypeVar("V1")
V2 = TypeVar("V2")


async def retry_dead(
    repository: Repository[V1, V2], control: Control, ids: Sequence[RawId] = (), grace_s: float = 3600
) -> int:
    """Try to move these entities again; return how many dead letters were removed.

    Without ids, all open dead letters are tried. An entity that fails again keeps its dead letter, with the new error
    and one more attempt.

    Raises `PhaseError` if the phase does not allow it.
    """
    calls = calls_of(repository)
    shift = Shift(calls, "retry", partial(check_fills_v2, "a retry"), lambda: False)
    review = open_review(calls.ground, control, timedelta(seconds=grace_s))
    async with shift.begun():
        return await shift.through(partial(review_letters, review, control, ids=ids))
