"""Reads of one document with both shapes: V2's part where it is trusted, else V1's part, converted and stored."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial
from typing import TypeVar

from pymongo.errors import PyMongoError

from lazymig.errors import ConversionError
from lazymig.protocol.in_place.composing import compose_fill
from lazymig.protocol.in_place.parts import Parts
from lazymig.protocol.in_place.place import Place
from lazymig.shapes.leaving import answer, as_answers
from lazymig.stores.chunks import split_ids
from lazymig.stores.given import RawId
from lazymig.stores.records import Filled, StoredV1, StoredWhole, Unmoved, WholeChange
from lazymig.stores.whole_documents import check_whole, get_reason_kind
from lazymig.telemetry import LEFT, LEFT_DIRTY, MIGRATED, REFUSED, WAITING

V1 = TypeVar("V1")
V2 = TypeVar("V2")
E = TypeVar("E")
R = TypeVar("R")

#: Makes the answer for one document, and the statement that stores what was converted, if any.
Make = Callable[[Parts[V1, V2]], Awaitable[tuple[R, WholeChange | None]]]


async def make_v2(parts: Parts[V1, V2]) -> tuple[V2 | Unmoved, WholeChange | None]:
    """Return V2's entity, or why there is none: V2's part where it is trusted, else V1's part, converted.

    Raises `ConversionError`.
    """
    entity = parts.trusted()
    if entity is not None:
        return entity, None
    return await _convert(parts, current=False)


async def make_converted(parts: Parts[V1, V2]) -> tuple[V2 | Unmoved, WholeChange | None]:
    """Return V1's part converted, or why V2 has no entity. What V2's part lacks is to be stored.

    Raises `ConversionError`.
    """
    if parts.alone:
        return parts.trusted_alone(), None
    return await _convert(parts, current=parts.is_current)


async def _convert(parts: Parts[V1, V2], *, current: bool) -> tuple[V2 | Unmoved, WholeChange | None]:
    parts.check()
    if (decided := parts.decided) is not None:
        return decided, None
    made = await parts.made(storing=parts.may_fill)
    if current or not parts.may_fill:
        return made, None
    return made, compose_fill(parts, parts.place.conversions.v2_stored(made), "read")


async def make_unstored(parts: Parts[V1, V2]) -> tuple[V2 | Unmoved, WholeChange | None]:
    """Return V1's part converted, or why V2 has no entity; nothing is to be stored. Raises `ConversionError`."""
    if parts.alone:
        return parts.trusted_alone(), None
    check_whole(parts.stored)
    return await parts.place.conversions.upgraded(parts.v1, None, storing=False), None


async def make_v1(parts: Parts[V1, V2]) -> tuple[V1 | None, WholeChange | None]:
    """Return V1's entity; once V2's part is the truth, that one converted. Raises `ConversionError`."""
    if parts.alone:
        return await make_v1_of_v2(parts)
    return parts.place.conversions.v1_entity(check_v1(parts)), None


def check_v1(parts: Parts[V1, V2]) -> StoredV1:
    """Return V1's part. Raises `ConversionError` for meta data that lazymig cannot have stored."""
    check_whole(parts.stored)
    return parts.v1


async def make_v1_of_v2(parts: Parts[V1, V2]) -> tuple[V1 | None, WholeChange | None]:
    """Return V2's entity in V1's type, converted; None for one that is left. Raises `ConversionError`."""
    found = await make_v2(parts)
    entity = answer(parts.stored.id, found[0])
    return (None if entity is None else await parts.place.conversions.downgrade(entity, None)), found[1]


async def read(place: Place[V1, V2], id: RawId, make: Make[V1, V2, V2 | Unmoved]) -> V2 | None:
    """Return the entity in V2's type, or None. One round trip, two where a conversion is stored."""
    stored = await place.store.find(id)
    if stored is None:
        return None
    made, change = await make(Parts(place, stored))
    if change is not None:
        await fill(place, [change], id)
    return answer(id, made)


async def read_v1(place: Place[V1, V2], id: RawId, make: Make[V1, V2, V1 | None] = make_v1) -> V1 | None:
    """Return the entity in V1's type, or None. One round trip."""
    stored = await place.store.find(id)
    return None if stored is None else (await make(Parts(place, stored)))[0]


async def exists(place: Place[V1, V2], id: RawId) -> bool:
    """Return whether V2's door knows the entity: not one that `upgrade` leaves. One round trip."""
    stored = await place.store.find(id)
    return stored is not None and not is_left(Parts(place, stored))


async def exists_in_v1(place: Place[V1, V2], id: RawId) -> bool:
    """Return whether V1's door knows the entity. One round trip."""
    return await place.store.find(id) is not None


def is_left(parts: Parts[V1, V2]) -> bool:
    """Return whether it is recorded that `upgrade` leaves the entity as it stands."""
    unmoved = parts.stored.unmoved
    return unmoved is not None and unmoved.why == "left" and parts.fits


async def read_many(
    place: Place[V1, V2], ids: Sequence[RawId], make: Make[V1, V2, V2 | Unmoved]
) -> dict[RawId, V2 | ConversionError]:
    """Return the entities with these ids in V2's type; missing ids are left out."""
    return as_answers(await _read_many(place, ids, make))


async def read_v1_many(
    place: Place[V1, V2], ids: Sequence[RawId], make: Make[V1, V2, V1 | None] = make_v1
) -> dict[RawId, V1 | ConversionError]:
    """Return the entities with these ids in V1's type; missing ids are left out."""
    found = await _read_many(place, ids, make)
    return {id: entity for id, entity in found.items() if entity is not None}


async def _read_many(
    place: Place[V1, V2], ids: Sequence[RawId], make: Make[V1, V2, R]
) -> dict[RawId, R | ConversionError]:
    answers: dict[RawId, R | ConversionError] = {}
    for part in split_ids(ids):
        found = await place.store.find_many(part)
        stored = [found[id] for id in part if id in found]
        made = await make_each(place, stored, make)
        answers.update(zip([one.id for one in stored], made, strict=True))
    return answers


async def make_each(
    place: Place[V1, V2], stored: Sequence[StoredWhole], make: Make[V1, V2, R]
) -> list[R | ConversionError]:
    """Return the answer for each document, or why there is none; what was converted is stored by one statement."""
    changes: list[WholeChange] = []
    answers = await convert_each(place, stored, make, changes)
    if changes:
        await fill(place, changes)
    return answers


async def convert_each(
    place: Place[V1, V2], stored: Iterable[StoredWhole], make: Make[V1, V2, R], changes: list[WholeChange]
) -> list[R | ConversionError]:
    """Return the answer for each document, or why there is none; add the statements that store what was converted."""
    answers: list[R | ConversionError] = []
    for one in stored:
        try:
            made, change = await make(Parts(place, one))
        except ConversionError as error:
            answers.append(error)
            continue
        answers.append(made)
        if change is not None:
            changes.append(change)
    return answers


async def fill(place: Place[V1, V2], changes: Sequence[WholeChange], id: RawId | None = None) -> None:
    """Store what a read converted, behind the caller where that is asked for. A failure is no error for the caller.

    In a session nothing is stored: a conflict would end the caller's transaction.
    """
    if not place.in_session:
        await place.behind.do(partial(_fill, place, changes), None, id)


async def _fill(place: Place[V1, V2], changes: Sequence[WholeChange]) -> None:
    try:
        if len(changes) == 1:
            stored = await place.store.fill(changes[0])
        else:
            stored = await place.store.fill_each(changes)
    except PyMongoError:
        place.tally.count(LEFT_DIRTY, len(changes))
        return
    _count(place, changes, stored)


def _count(place: Place[V1, V2], changes: Sequence[WholeChange], filled: Filled) -> None:
    """Count what was stored, by what it is.

    A statement about many reports how many were as they were seen, not which: what others overtook counts as bodies.
    """
    names = Counter(_name_stored(change) for number, change in enumerate(changes) if number not in filled.refused)
    overtaken = names.total() - filled.stored
    for name in (MIGRATED, WAITING, LEFT):
        lost = min(overtaken, names[name])
        overtaken -= lost
        if names[name] > lost:
            place.tally.count(name, names[name] - lost)
    if filled.refused:
        place.tally.count(REFUSED, len(filled.refused))


def _name_stored(change: WholeChange) -> str:
    why = get_reason_kind(change.meta)
    return MIGRATED if why is None else WAITING if why == "waiting" else LEFT
