"""The one place where a sweep asks for the layout: two collections, or both shapes in one document."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import TypeVar

from lazymig.control import Control
from lazymig.protocol.in_place.place import Place
from lazymig.protocol.pair import Pair
from lazymig.sweeping.dead_letters import PairReview, Review
from lazymig.sweeping.in_place.moving import PlaceMover
from lazymig.sweeping.in_place.reviewing import PlaceReview
from lazymig.sweeping.in_place.work import PlaceWork
from lazymig.sweeping.moving import Mover
from lazymig.sweeping.two_collections import PairWork
from lazymig.sweeping.work import Means, SweepWork

V1 = TypeVar("V1")
V2 = TypeVar("V2")


def open_work(ground: Pair[V1, V2] | Place[V1, V2], means: Means) -> SweepWork:
    """Return the work of a sweep. Raises `ConfigurationError` where an option cannot work in this layout."""
    shedding = means.throttle.shedding
    if isinstance(ground, Place):
        return PlaceWork(shedding.place(ground), means)
    return PairWork(shedding.pair(ground), means)


def open_review(ground: Pair[V1, V2] | Place[V1, V2], control: Control, grace: timedelta) -> Review:
    """Return the review of a person who wants all letters to be tried again."""
    if isinstance(ground, Place):
        return PlaceReview(ground, PlaceMover(ground, control, Counter(), dry_run=False), insist=True)
    return PairReview(ground, Mover(ground, control, Counter(), dry_run=False), grace, insist=True)
