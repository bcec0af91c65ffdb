"""The port of one migration in one collection, with what its steps need."""

from __future__ import annotations

from typing import Generic, TypeVar

from attrs import frozen

from lazymig.loop.behind import Behind
from lazymig.loop.clock import Clock
from lazymig.shapes.conversions import Conversions
from lazymig.shapes.one_document import OneDocument
from lazymig.stores.wholes import Wholes
from lazymig.telemetry import Tally

V1 = TypeVar("V1")
V2 = TypeVar("V2")


@frozen
class Place(Generic[V1, V2]):
    """The collection of one migration whose shapes share their documents."""

    store: Wholes
    shape: OneDocument
    conversions: Conversions[V1, V2]
    clock: Clock
    tally: Tally
    behind: Behind
    max_attempts: int = 32
    #: Whether all statements run in a session. A duplicate key aborts its transaction, so inserts look first.
    in_session: bool = False
    #: Whether listings may fetch the next page while the caller works on this one.
    ahead: bool = False
    #: Whether no process knows V1 any more: every document is V2's alone.
    finished: bool = False
