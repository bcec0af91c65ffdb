"""Writes while V2 must not be trusted yet: announced there, made in V1, and left to others to store in V2.

A process that still works on V1 alone announces nothing. As long as there is one, V2's bodies may be outdated even if
they are clean, so nothing here starts from them, and nothing is stored in V2 but announcements.
"""

from __future__ import annotations

from typing import TypeVar

from pymongo.errors import WriteError

from lazymig.errors import Contention, ConversionError, NotFound
from lazymig.protocol.edits import Base, Change, Edit, More
from lazymig.protocol.inserting import announce, forget, insert_announced
from lazymig.protocol.pair import Pair
from lazymig.protocol.placing import check_missing, explain_refusal
from lazymig.protocol.tickets import withdraw
from lazymig.protocol.waiting import back_off
from lazymig.protocol.writing import Doubt, change_v1, decide
from lazymig.stores.documents import decode_id
from lazymig.stores.given import RawId
from lazymig.telemetry import CONTENDED

V1 = TypeVar("V1")
V2 = TypeVar("V2")


async def write(pair: Pair[V1, V2], id: RawId, edit: Edit) -> Change | None:
    """Change or delete one entity in V1, announced in V2. Three round trips.

    Raises `NotFound`, `Contention`, or what the edit raises; then nothing was written.
    """
    # 1. The ticket: processes that trust V2 already must see that V1 is about to change.
    announced = await pair.ledger.ticket(id)
    doubt = Doubt()
    try:
        return await _change_until_won(pair, id, edit, announced.intent, doubt)
    except BaseException as error:
        if not doubt.sent:
            await withdraw(pair, announced, missing=isinstance(error, NotFound), ending=error)
        raise


async def _change_until_won(pair: Pair[V1, V2], id: RawId, edit: Edit, ticket: int, doubt: Doubt) -> Change | None:
    """Do steps 2 and 3: read V1, whatever V2 holds, and change it at the ticket or above, until an attempt wins."""
    for attempt in range(pair.max_attempts):
        truth = await pair.v1.find_local(id)
        if truth is None:
            await check_missing(pair, id)
            await back_off(pair, attempt)
            continue
        base = Base(None, truth, keeps_v2=False)
        if truth.revision >= ticket:
            ticket = truth.revision + 1
            await pair.ledger.raise_intent(id, ticket)
        change = await decide(pair, edit, base)
        if change is More.TRUTH:
            await back_off(pair, attempt)  # V1's document, which it was given, has changed since
            continue
        doubt.sent = True
        try:
            won = await change_v1(pair, id, base, ticket, change)
        except (WriteError, ConversionError):
            doubt.sent = False  # V1 refuses the document, by a unique index or a validator, or what stands in it does
            raise
        if won:
            return change
        doubt.sent = False
        pair.tally.count(CONTENDED)
        await back_off(pair, attempt)
    raise Contention(decode_id(id), pair.max_attempts)


async def insert(pair: Pair[V1, V2], id: RawId, change: Change) -> None:
    """Store a new entity in V1, announced in V2. Two round trips. Raises `AlreadyExists`, `NotFound`."""
    above = 0
    for attempt in range(pair.max_attempts):
        announced, step = await announce(pair, id, trusting=False, above=above)
        if await insert_announced(pair, id, change, announced, step):
            return
        # Not healed, as it would be later: that would store V1's entity in V2.
        await forget(pair, id, announced.intent)
        await withdraw(pair, announced, step)
        above = await explain_refusal(pair, id)
        await back_off(pair, attempt)
    raise Contention(decode_id(id), pair.max_attempts)
