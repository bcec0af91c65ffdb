"""Why an entity does not convert, with the text of what its conversion raises. It is shown and never stored."""

from __future__ import annotations

from typing import Any

from bson.errors import InvalidBSON

from lazymig.comparing.failures import describe_unmoved
from lazymig.errors import ConversionError
from lazymig.repository import Repository, calls_of
from lazymig.stores.documents import META_FIELD, parse_v2
from lazymig.stores.records import DeadLetter, Unmoved
from lazymig.stores.scans import Scan


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
    pair = calls_of(repository).pair
    truth = await pair.v1.find(letter.id)
    if truth is None:
        return "V1 no longer holds this entity; the next sweep removes the dead letter"
    row = await Scan(pair.bodies).find_document(letter.id)
    seen = parse_v2(row) if row is not None and META_FIELD in row else None
    entity = await pair.conversions.upgraded(truth, seen)
    if isinstance(entity, Unmoved):
        return f"{describe_unmoved(entity)}: lazymig dead-letters retry records that"
    pair.conversions.v2_body(entity)
    if letter.direction == "downgrade":
        pair.conversions.v1_document(await pair.conversions.downgrade(entity, pair.conversions.v1_entity(truth)))
    if letter.direction == "store":
        return f"it converts; V2 refused to store it: {letter.message}"
    return "it converts now: lazymig dead-letters retry moves it"
