"""The ports of one migration, with what the protocol needs to use them."""

from __future__ import annotations

from typing import Generic, TypeVar

from attrs import field, frozen

from lazymig.loop.behind import Behind
from lazymig.loop.breaker import Breaker
from lazymig.loop.clock import Clock
from lazymig.shapes.conversions import Conversions
from lazymig.stores.alone import Alone
from lazymig.stores.ports import Bodies, Ledger, Truth
from lazymig.telemetry import Tally

V1 = TypeVar("V1")
V2 = TypeVar("V2")


@frozen
class Pair(Generic[V1, V2]):
    """V1, the ledger and V2's bodies of one migration, with its conversions and the options of the steps."""

    v1: Truth
    ledger: Ledger
    bodies: Bodies
    conversions: Conversions[V1, V2]
    clock: Clock
    tally: Tally
    behind: Behind
    max_attempts: int = 32
    checked: bool = False
    #: Whether all statements run in a session. A duplicate key aborts its transaction, so inserts look first.
    in_session: bool = False
    #: Whether listings may fetch the next page while the caller works on this one.
    ahead: bool = False
    #: V2 once it is the only truth.
    alone: Alone = field(kw_only=True)
    #: Seconds that a read waits for V2 before V1 answers alone; None: as long as the call may take.
    v2_wait_s: float | None = None
    #: Where V1 answers if V2 does not: whether it is worth while to ask V2. None: V2's failure is the caller's error.
    breaker: Breaker | None = None
    #: The same where V1 answers in any case, and V2 is asked only to fill it: whatever V2 remembers, no caller may wait
    #: for it. None: V2's failure is the caller's error.
    aside_wait_s: float | None = None
    aside_breaker: Breaker | None = None
    #: Whether V2 may be behind V1 although it is clean, so that no write may start from it.
    suspect: bool = False
