"""What reads and writes share about V2's bodies: bounded waits for them, the age of marks, and steps that may fail."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from datetime import timedelta
from typing import Any, TypeVar, TypeVarTuple

from pymongo.errors import PyMongoError

from lazymig.loop.breaker import Breaker
from lazymig.loop.deadline import Deadline
from lazymig.protocol.pair import Pair
from lazymig.shapes.migration import get_upgrading
from lazymig.stores.documents import is_raised
from lazymig.stores.given import RawId
from lazymig.stores.records import Applied, Body, StoredV1, StoredV2, Unmoved
from lazymig.telemetry import LEFT, LEFT_DIRTY, MIGRATED, REFUSED, V2_AWAY, WAITING

V1 = TypeVar("V1")
V2 = TypeVar("V2")
T = TypeVar("T")
A = TypeVarTuple("A")

#: The writer of a mark younger than this is probably alive. Time only decides when healing is worth its writes, never
#: what is correct.
HEAL_AFTER = timedelta(seconds=5)

#: The waits, in seconds, for the body of a write that V1 already has: about a quarter of a second in all.
WRITER_WAITS_S = (0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128)


def ask_in_time(
    pair: Pair[V1, V2], ask: Callable[[*A], Awaitable[T]], *arguments: *A
) -> Coroutine[object, None, tuple[T | None, bool]]:
    """Return V2's answer, and whether V2 could be reached within the time that is waited for it.

    While V2 keeps failing it is not asked at all, so that V1's answer does not wait for V2's time-out. To take V2 for
    silent is always safe where V1 is exact.
    """
    return _ask_in_time(pair, ask, arguments, pair.breaker, pair.v2_wait_s)


def ask_aside(
    pair: Pair[V1, V2], ask: Callable[[*A], Awaitable[T]], *arguments: *A
) -> Coroutine[object, None, tuple[T | None, bool]]:
    """Return the same as `ask_in_time`, for a question that the caller's answer does not depend on."""
    return _ask_in_time(pair, ask, arguments, pair.aside_breaker, pair.aside_wait_s)


async def _ask_in_time(
    pair: Pair[V1, V2],
    ask: Callable[[*A], Awaitable[T]],
    arguments: tuple[*A],
    breaker: Breaker | None,
    wait_s: float | None,
) -> tuple[T | None, bool]:
    if breaker is None:
        return await ask(*arguments), True
    if breaker.admits():
        try:
            async with Deadline(wait_s):
                answer = await ask(*arguments)
        except (PyMongoError, TimeoutError):
            breaker.failed()
        else:
            breaker.succeeded()
            return answer, True
    pair.tally.count(V2_AWAY)
    return None, False


async def measure_age(pair: Pair[V1, V2], seen: StoredV2) -> timedelta | None:
    """Return the age of V2's mark by the server's clock; None without a mark, or where the server does not answer."""
    if seen.at is None:
        return None
    try:
        now, _ = await ask_in_time(pair, pair.ledger.now)
    except PyMongoError:
        return None  # the next reader can ask again
    return None if now is None else now - seen.at


async def is_old(pair: Pair[V1, V2], seen: StoredV2) -> bool:
    """Whether V2's mark is so old that its writer is probably dead."""
    marked = await measure_age(pair, seen)
    return marked is not None and marked >= HEAL_AFTER


async def is_due(pair: Pair[V1, V2], seen: StoredV2 | None, truth: StoredV1, own: int = 0) -> bool:
    """Whether V1's revision was announced in V2 and its writer, which seems to be alive, has yet to store the body.

    Only asked where that body may hold what V1 cannot express, that is where `upgrade` takes the previous entity. If a
    reader stored V1's conversion in its place, the next writer would start from a body that lacks those values. `own`
    is the asking writer's ticket: another writer has that revision only if it raised the intent to it, and none has 0.
    """
    if seen is None or not get_upgrading(pair.conversions.migration).takes_other:
        return False
    if (seen.revision >= truth.revision and not is_buried(seen)) or truth.revision > seen.intent or truth.revision == 0:
        return False
    if truth.revision == own and not is_raised(seen):
        return False
    marked = await measure_age(pair, seen)
    return marked is not None and marked < HEAL_AFTER


def is_buried(seen: StoredV2) -> bool:
    """Whether V2 holds neither a body nor a reason why there is none.

    Its revision then says nothing about the body of what V1 holds. An insert that finds another one's announcement open
    buries what was before it at that number, and V1 may take the other one. A delete buries at its ticket, and V1 may
    take an insert with a lower one afterwards.
    """
    return seen.gone and seen.unmoved is None


async def await_own_body(pair: Pair[V1, V2], id: RawId) -> None:
    """Wait a moment for a body of the entity that this process is still storing behind its caller."""
    if pair.behind.holds(id):
        await pair.behind.wait_for(id, sum(WRITER_WAITS_S))


def name_stored(body: Body) -> str:
    """Return the name of the counter for what a read stores where V2 had nothing."""
    return MIGRATED if not isinstance(body, Unmoved) else WAITING if body.why == "waiting" else LEFT


async def try_step(pair: Pair[V1, V2], step: Callable[[], Coroutine[Any, Any, Applied]]) -> Applied | None:
    """Run a V2 step that follows V1's; return its outcome, or None if it failed.

    A failure is no error for the caller: V1 has the write, V2 stays dirty, and dirty means "ask V1". So the step is
    left out while V2 keeps failing.
    """
    breaker = pair.breaker
    if breaker is not None and not breaker.admits():
        pair.tally.count(LEFT_DIRTY)
        return None
    try:
        outcome = await step()
    except PyMongoError:
        pair.tally.count(LEFT_DIRTY)
        if breaker is not None:
            breaker.failed()
        return None
    if breaker is not None:
        breaker.succeeded()
    pair.tally.count(REFUSED, outcome is Applied.REFUSED)
    return outcome
