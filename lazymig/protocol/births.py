"""What an insert stores, decided from the new entity alone. Nothing here sends a statement."""

from __future__ import annotations

from typing import TypeVar

from lazymig.errors import ConversionError, Direction
from lazymig.protocol.edits import Change
from lazymig.shapes.conversions import Conversions
from lazymig.shapes.fields import Rejected
from lazymig.shapes.leaving import check_moved
from lazymig.stores.records import Document

V1 = TypeVar("V1")
V2 = TypeVar("V2")


async def decide_insert_v2(conversions: Conversions[V1, V2], entity: V2, keeps_v1: bool) -> Change:
    """Decide what to store for a new entity in V2's type. Only where V1 is kept must V1 be able to express it."""
    if not keeps_v1:
        return Change({}, [], conversions.v2_body(entity, "downgrade"), entity)
    v1 = await conversions.downgrade(entity, None)
    document = conversions.v1_document(v1)
    _check_newest(conversions, v1, document, "downgrade")
    return Change(document, [], conversions.v2_body(entity, "downgrade"), entity)


async def decide_insert_v1(conversions: Conversions[V1, V2], entity: V1, keeps_v1: bool) -> Change:
    """Decide what to store for a new entity in V1's type. It is read back as V1's also where V1 is not kept."""
    document = conversions.v1_document(entity, "upgrade")
    _check_newest(conversions, entity, document, "upgrade")
    v2 = await conversions.upgrade(entity, None)
    if keeps_v1:
        return Change(document, [], conversions.v2_stored(v2), entity)
    id = getattr(entity, conversions.migration.id_field)
    return Change({}, [], conversions.v2_body(check_moved(id, v2)), entity)


def _check_newest(conversions: Conversions[V1, V2], entity: V1, document: Document, direction: Direction) -> None:
    """Raise `ConversionError` for an entity that claims a newer version: only a release that knows it can insert it."""
    chain = conversions.migration.upcasters
    if chain is not None and document[chain.field] != chain.newest:
        wrong = Rejected(f"this release inserts entities of version {chain.newest}; leave the version to lazymig")
        raise ConversionError(getattr(entity, conversions.migration.id_field), direction, wrong, chain.field)
