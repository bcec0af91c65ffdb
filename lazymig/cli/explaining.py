"""Why an entity does not convert, with the text of what its conversion raises. It is shown and never stored."""

from __future__ import annotations

from typing import Any, TypeVar

from bson.errors import InvalidBSON

from lazymig.comparing.failures import describe_unmoved
from lazymig.errors import ConversionError
from lazymig.protocol.in_place.parts import Parts
from lazymig.protocol.in_place.place import Place
from lazymig.protocol.pair import Pair
from lazymig.repository import Repository, calls_of
from lazymig.stores.documents import META_FIELD, parse_v2
from lazymig.stores.records import DeadLetter, StoredV1, StoredV2, Unmoved
from lazymig.stores.scans import Scan
from lazymig.stores.whole_documents import parse_whole

V1 = TypeVar("V1")
V2 = TypeVar("V2")


async def explanation(repository: Repository[Any, Any], letter: DeadLetter) -> str:
    """Convert the entity again, and describe what happens now."""
    try:
        return await _attempt(repository, letter)
    except ConversionError as error:
        field = f", field {error.path}" if error.path else ""
        line = f" at {error.line}" if error.line else ""
        step = f"reading the {error.side or 'stored'} document" if error.direction == "read" else error.direction
        return f"{step}{line}{field}: {type(error.cause).__name__}: {error.cause}"
    except InvalidBSON as error:
        return f"reading the V1 document: {type(error).__name__}: {error}"


async def _attempt(repository: Repository[Any, Any], letter: DeadLetter) -> str:
    calls = calls_of(repository)
    conversions = calls.conversions
    found = await (_find_both(calls.pair, letter) if calls.place is None else _find_parts(calls.place, letter))
    if found is None:
        return "V1 no longer holds this entity; the next sweep removes the dead letter"
    truth, seen = found
    entity = await conversions.upgraded(truth, seen)
    if isinstance(entity, Unmoved):
        return f"{describe_unmoved(entity)}: lazymig dead-letters retry records that"
    conversions.v2_body(entity)
    if letter.direction == "downgrade":
        conversions.v1_document(await conversions.downgrade(entity, conversions.v1_entity(truth)))
    if letter.direction == "store":
        return f"it converts; V2 refused to store it: {letter.message}"
    return "it converts now: lazymig dead-letters retry moves it"


async def _find_both(pair: Pair[V1, V2], letter: DeadLetter) -> tuple[StoredV1, StoredV2 | None] | None:
    truth = await pair.v1.find(letter.id)
    row = await Scan(pair.bodies).find_document(letter.id)
    seen = parse_v2(row) if row is not None and META_FIELD in row else None
    return None if truth is None else (truth, seen)


async def _find_parts(place: Place[V1, V2], letter: DeadLetter) -> tuple[StoredV1, StoredV2 | None] | None:
    row = await Scan(place.store).find_document(letter.id)
    if row is None:
        return None
    parts = Parts(place, parse_whole(row))
    parts.check()
    return parts.v1, parts.v2(fits=parts.fits)
