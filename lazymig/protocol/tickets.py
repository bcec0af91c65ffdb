"""The ticket of a write, what can be decided while it is being stored, and how it is taken back."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import partial
from typing import Literal, NamedTuple, TypeAlias, TypeVar

from pymongo.errors import PyMongoError

from lazymig.protocol.edits import Base, Change, Edit, More
from lazymig.protocol.pair import Pair
from lazymig.stores.given import RawId
from lazymig.stores.records import Begun, StoredV2
from lazymig.telemetry import LEFT_DIRTY

V1 = TypeVar("V1")
V2 = TypeVar("V2")

Decision: TypeAlias = Change | Literal[More.TRUTH] | None


class Early(NamedTuple):
    """What an edit has decided, or what it has raised, from what V2 will be after an announcement."""

    decision: Decision = None
    error: Exception | None = None

    def result(self) -> Decision:
        """Return the decision, or raise what the edit has raised."""
        if self.error is not None:
            raise self.error
        return self.decision


async def announce(pair: Pair[V1, V2], id: RawId, edit: Edit) -> tuple[StoredV2, Early | None]:
    """Announce a write; return V2's document after that, and what the edit has decided from it meanwhile.

    A shared announcement waits for the journal, and this process has nothing else to do then. A decision sends
    nothing, so it makes no difference to others when it is made. It counts only if V2 is what it was made from.
    """
    begun = await pair.ledger.begin_ticket(id)
    if begun.finish is None:
        return begun.expected, None
    try:
        early = await _decide_early(pair, edit, begun.expected)
    except BaseException as error:
        await _at_last(pair, partial(_take_back, pair, begun, error), error)
        raise
    announced = await begun.finish()
    return announced, early if announced is begun.expected else None


async def _decide_early(pair: Pair[V1, V2], edit: Edit, expected: StoredV2) -> Early | None:
    asked, entity = start(pair, edit, expected)
    if asked:
        return None
    try:
        return Early(await edit.decide(Base(expected, None, entity, not pair.checked)))
    except Exception as error:
        return Early(error=error)


def start(pair: Pair[V1, V2], edit: Edit, seen: StoredV2) -> tuple[bool, object]:
    """Return whether a write must read V1 first, and the entity that it starts from if V2's body has it."""
    entity = None
    if not (edit.needs_truth or pair.checked) and seen.clean_before_ticket and edit.needs_entity:
        entity = pair.conversions.trusted(seen)
    # A single attempt must not be lost because V1 lacks a sub-document of which a part is to be set: read V1 first.
    asked = edit.needs_truth or pair.checked or not seen.clean_before_ticket or pair.max_attempts == 1 or pair.suspect
    return asked or (edit.needs_entity and entity is None), entity


async def _take_back(pair: Pair[V1, V2], begun: Begun, ending: BaseException) -> None:
    """Withdraw an announcement that is still on its way, once it has been made."""
    assert begun.finish is not None
    try:
        announced = await begun.finish()
    except PyMongoError:
        pair.tally.count(LEFT_DIRTY)  # if it was made, the next reader or sweep heals it
    else:
        await withdraw(pair, announced, ending=ending)


async def withdraw(
    pair: Pair[V1, V2],
    announced: StoredV2,
    step: int = 1,
    *,
    missing: bool = False,
    ending: BaseException | None = None,
) -> None:
    """Take back an announcement that nothing was written for. A failure is no error for the caller.

    `missing`: nothing was written because V1 does not hold the entity. `ending`: what the call ends with.
    """

    async def take_back() -> None:
        try:
            await pair.ledger.withdraw(announced, step, missing=missing)
        except PyMongoError:
            pair.tally.count(LEFT_DIRTY)  # the next reader or sweep heals it

    await _at_last(pair, take_back, ending)


async def _at_last(
    pair: Pair[V1, V2], step: Callable[[], Coroutine[object, None, None]], ending: BaseException | None
) -> None:
    if not await pair.behind.at_last(step, ending):
        pair.tally.count(LEFT_DIRTY)  # the next reader or sweep heals it
