"""Pages of listings and the callers' filters: the statements that V1 and V2 have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

import bson
from bson.raw_bson import RawBSONDocument

from lazymig.stores.drivers import RAW_LENIENT, Driver, DriverSession, Handle, driver_of
from lazymig.stores.keyset import Order
from lazymig.stores.raw import Undecoded, find_undecoded
from lazymig.stores.records import Document

T = TypeVar("T")


def encode_filter(given: Handle, criteria: Document) -> Document:
    """Encode a caller's filter as the client of the collection that was given would, with its types and UUIDs."""
    if driver_of(given) is Driver.MEMORY or not criteria:
        return dict(criteria)
    return RawBSONDocument(bson.encode(criteria, codec_options=given.codec_options), RAW_LENIENT)


def join_filters(*parts: Document | None) -> Document:
    """Return the filter for what matches all these filters; those that match everything are left out."""
    wanted = [part for part in parts if part]
    if len(wanted) == 1:
        return wanted[0]
    return {"$and": wanted} if wanted else {}


async def find_page(
    collection: Handle,
    make: Callable[[Document], T],
    where: Document,
    order: Order,
    limit: int,
    after: Document | None = None,
    fields: Iterable[str] | None = None,
    *,
    session: DriverSession | None = None,
) -> Undecoded[T]:
    """Find the page after a document in this order: these fields, or whole documents."""
    behind = None if after is None else order.after(after, driver_of(collection))
    return await find_undecoded(
        collection, make, join_filters(where, behind), size=limit, limit=limit,
        fields=None if fields is None else dict.fromkeys(fields, 1), sort=order.keys, session=session,
    )  # fmt: skip
